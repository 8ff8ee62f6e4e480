// The part of Proxy-Wasm 0.2.1 that this plugin uses.
#ifndef ABI_H
#define ABI_H

#include <stddef.h>
#include <stdint.h>

#define HOSTCALL(name) __attribute__((import_module("env"), import_name(#name))) uint32_t name
#define CALLBACK(name) __attribute__((export_name(#name))) name

enum { LEVEL_INFO = 2, LEVEL_ERROR = 4 };
enum { REQUEST_HEADERS = 0, RESPONSE_HEADERS = 2 };
enum { BUFFER_PLUGIN_CONFIGURATION = 7 };
enum { ACTION_CONTINUE = 0, ACTION_STOP_ITERATION = 1 };
enum { STATUS_OK = 0, STATUS_NOT_FOUND = 1 };
enum { NO_GRPC_STATUS = -1 };

HOSTCALL(proxy_log)(uint32_t level, const char *message, size_t size);

// `*data` comes from proxy_on_memory_allocate, and is for the plugin to free. It is null if there are no bytes.
HOSTCALL(proxy_get_buffer_bytes)(uint32_t buffer, uint32_t start, uint32_t max_size, char **data, size_t *size);

// As above; of several values it is the first.
HOSTCALL(proxy_get_header_map_value)(uint32_t map, const char *name, size_t name_size, char **value, size_t *size);

HOSTCALL(proxy_add_header_map_value)(uint32_t map, const char *name, size_t name_size, const char *value, size_t size);

HOSTCALL(proxy_replace_header_map_value)(uint32_t map, const char *name, size_t name_size, const char *value,
                                         size_t size);

HOSTCALL(proxy_send_local_response)(uint32_t status, const char *details, size_t details_size, const char *body,
                                    size_t body_size, const char *headers, size_t headers_size, int32_t grpc_status);

#endif
