package main

import "unsafe"

// The part of Proxy-Wasm 0.2.1 that this plugin uses. The compiler passes a string as two numbers,
// address and length, which is how the ABI wants it.

const (
	levelInfo  = 2
	levelError = 4

	requestHeaders  = 0
	responseHeaders = 2

	bufferPluginConfiguration = 7

	continueIteration = 0
	stopIteration     = 1

	statusOK       = 0
	statusNotFound = 1

	noGRPCStatus = -1
)

//go:wasmimport env proxy_log
func proxyLog(level uint32, message string) uint32

//go:wasmimport env proxy_get_buffer_bytes
func proxyGetBufferBytes(buffer, start, size uint32, data, dataSize *uint32) uint32

//go:wasmimport env proxy_get_header_map_value
func proxyGetHeaderMapValue(headers uint32, name string, value, valueSize *uint32) uint32

//go:wasmimport env proxy_add_header_map_value
func proxyAddHeaderMapValue(headers uint32, name, value string) uint32

//go:wasmimport env proxy_replace_header_map_value
func proxyReplaceHeaderMapValue(headers uint32, name, value string) uint32

//go:wasmimport env proxy_send_local_response
func proxySendLocalResponse(status uint32, details, body, headers string, grpcStatus int32) uint32

// lent has the memory that the host asked for and has not handed back yet, by address. The host
// keeps nothing but the address, which means nothing to the garbage collector: without an entry
// here it would take the memory away while the host writes to it.
var lent = map[uint32][]byte{}

// The host calls it within the hostcalls that return data.
//
//go:wasmexport proxy_on_memory_allocate
func onMemoryAllocate(size uint32) uint32 {
	if size == 0 {
		return 0
	}
	memory := make([]byte, size)
	address := uint32(uintptr(unsafe.Pointer(unsafe.SliceData(memory))))
	lent[address] = memory
	return address
}

// take gives what the host has written to memory that it asked for.
func take(address, size uint32) string {
	memory := lent[address]
	delete(lent, address)
	if uint64(size) > uint64(len(memory)) {
		panic("the host hands back more than it asked for")
	}
	return string(memory[:size])
}

func logLine(level uint32, message string) {
	proxyLog(level, message)
}

func pluginConfiguration(size uint32) string {
	var data, dataSize uint32
	status := proxyGetBufferBytes(bufferPluginConfiguration, 0, size, &data, &dataSize)
	if status == statusNotFound {
		return ""
	}
	check("proxy_get_buffer_bytes", status)
	return take(data, dataSize)
}

// header gives the first value of a header, nothing if there is none.
func header(headers uint32, name string) string {
	var value, size uint32
	status := proxyGetHeaderMapValue(headers, name, &value, &size)
	if status == statusNotFound {
		return ""
	}
	check("proxy_get_header_map_value", status)
	return take(value, size)
}

func addHeader(headers uint32, name, value string) {
	check("proxy_add_header_map_value", proxyAddHeaderMapValue(headers, name, value))
}

func setHeader(headers uint32, name, value string) {
	check("proxy_replace_header_map_value", proxyReplaceHeaderMapValue(headers, name, value))
}

func respond(status uint32, body string) {
	check("proxy_send_local_response", proxySendLocalResponse(status, "", body, "", noGRPCStatus))
}

// check ends the plugin's virtual machine if a hostcall failed that cannot fail.
func check(hostcall string, status uint32) {
	if status != statusOK {
		logLine(levelError, hostcall+" failed")
		panic(hostcall)
	}
}
