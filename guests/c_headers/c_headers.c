// Marks requests and responses, in C on the raw ABI.
//
// For each request this plugin
//
// * sets the request header `x-c-plugin: seen /path`,
// * adds the response header `x-plugin: c`,
// * logs `seen /path` at level info,
// * answers 403 with `denied` if the request has `x-deny: 1`, and logs `denied /path`.
//
// The plugin configuration is the word to say in place of `seen`. One that a header cannot hold is refused.

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"

// Bytes, not terminated by a zero.
struct text {
    char *data;
    size_t size;
};

#define TEXT(literal) ((struct text){(literal), sizeof(literal) - 1})

// One instance of the plugin, with its configuration. Several with this code, each with a configuration of its own, may
// share one virtual machine.
struct plugin {
    struct plugin *next;
    uint32_t id;
    struct text word;
};

// One request. The host tells with each callback which one it is about.
struct stream {
    struct stream *next;
    uint32_t id;
    struct plugin *plugin;
};

static struct plugin *plugins;
static struct stream *streams;

static void *allocate(size_t size) {
    void *memory = malloc(size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static void log_line(uint32_t level, struct text message) {
    proxy_log(level, message.data, message.size);
}

// Ends the plugin's virtual machine if a hostcall failed that cannot fail.
static void check(struct text hostcall, uint32_t status) {
    if (status != STATUS_OK) {
        log_line(LEVEL_ERROR, hostcall);
        abort();
    }
}

#define CHECK(hostcall, ...) check(TEXT(#hostcall " failed"), hostcall(__VA_ARGS__))

// The first value of a request header, without bytes if there is none. To be freed.
static struct text request_header(struct text name) {
    struct text value = {NULL, 0};
    uint32_t status =
        proxy_get_header_map_value(REQUEST_HEADERS, name.data, name.size, &value.data, &value.size);
    if (status != STATUS_NOT_FOUND) {
        check(TEXT("proxy_get_header_map_value failed"), status);
    }
    return value;
}

static bool equal(struct text a, struct text b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

// "word path", to be freed.
static struct text say(struct text word, struct text path) {
    struct text line = {NULL, word.size + 1 + path.size};
    line.data = allocate(line.size);
    memcpy(line.data, word.data, word.size);
    line.data[word.size] = ' ';
    if (path.size != 0) {
        memcpy(line.data + word.size + 1, path.data, path.size);
    }
    return line;
}

static struct text trim(struct text text) {
    while (text.size != 0 && strchr(" \t\r\n", text.data[text.size - 1]) != NULL) {
        text.size--;
    }
    while (text.size != 0 && strchr(" \t\r\n", text.data[0]) != NULL) {
        text.data++;
        text.size--;
    }
    return text;
}

static bool printable(struct text text) {
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < ' ' || text.data[i] > '~') {
            return false;
        }
    }
    return true;
}

static struct plugin *find_plugin(uint32_t id) {
    struct plugin *plugin = plugins;
    while (plugin != NULL && plugin->id != id) {
        plugin = plugin->next;
    }
    return plugin;
}

static struct stream *find_stream(uint32_t id) {
    struct stream *stream = streams;
    while (stream != NULL && stream->id != id) {
        stream = stream->next;
    }
    return stream;
}

void CALLBACK(proxy_abi_version_0_2_1)(void) {}

// The host calls it within the hostcalls that return data.
void *CALLBACK(proxy_on_memory_allocate)(size_t size) {
    return malloc(size);
}

void CALLBACK(proxy_on_context_create)(uint32_t id, uint32_t parent) {
    if (parent == 0) {
        struct plugin *plugin = allocate(sizeof *plugin);
        *plugin = (struct plugin){plugins, id, TEXT("seen")};
        plugins = plugin;
    } else {
        struct stream *stream = allocate(sizeof *stream);
        *stream = (struct stream){streams, id, find_plugin(parent)};
        streams = stream;
    }
}

uint32_t CALLBACK(proxy_on_configure)(uint32_t root, uint32_t size) {
    struct text configuration = {NULL, 0};
    CHECK(proxy_get_buffer_bytes, BUFFER_PLUGIN_CONFIGURATION, 0, size, &configuration.data, &configuration.size);
    struct text word = trim(configuration);
    if (!printable(word)) {
        log_line(LEVEL_ERROR, TEXT("the plugin configuration is not a word that a header can hold"));
        return false;
    }
    if (word.size != 0) {
        find_plugin(root)->word = word; // Kept as long as the plugin.
    }
    return true;
}

uint32_t CALLBACK(proxy_on_request_headers)(uint32_t id, uint32_t headers, uint32_t end_of_stream) {
    struct text path = request_header(TEXT(":path"));
    struct text deny = request_header(TEXT("x-deny"));
    bool denied = equal(deny, TEXT("1"));
    struct text line = say(denied ? TEXT("denied") : find_stream(id)->plugin->word, path);
    log_line(LEVEL_INFO, line);
    if (denied) {
        struct text body = TEXT("denied\n");
        CHECK(proxy_send_local_response, 403, NULL, 0, body.data, body.size, NULL, 0, NO_GRPC_STATUS);
    } else {
        // Set, not added: a client must not bring its own.
        struct text name = TEXT("x-c-plugin");
        CHECK(proxy_replace_header_map_value, REQUEST_HEADERS, name.data, name.size, line.data, line.size);
    }
    free(line.data);
    free(deny.data);
    free(path.data);
    // Once there is a response, the request must go no further.
    return denied ? ACTION_STOP_ITERATION : ACTION_CONTINUE;
}

// Runs for the plugin's own response too.
uint32_t CALLBACK(proxy_on_response_headers)(uint32_t id, uint32_t headers, uint32_t end_of_stream) {
    struct text name = TEXT("x-plugin");
    struct text value = TEXT("c");
    CHECK(proxy_add_header_map_value, RESPONSE_HEADERS, name.data, name.size, value.data, value.size);
    return ACTION_CONTINUE;
}

void CALLBACK(proxy_on_delete)(uint32_t id) {
    // Plugins stay: there are few, and they end with their virtual machine.
    for (struct stream **place = &streams; *place != NULL; place = &(*place)->next) {
        if ((*place)->id == id) {
            struct stream *stream = *place;
            *place = stream->next;
            free(stream);
            return;
        }
    }
}
