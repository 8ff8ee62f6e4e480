// Marks requests and responses, in Go on the raw ABI.
//
// For each request this plugin
//
//   - sets the request header `x-go-plugin: seen /path`,
//   - adds the response header `x-plugin: go`,
//   - logs `seen /path` at level info,
//   - answers 403 with `denied` if the request has `x-deny: 1`, and logs `denied /path`.
//
// The plugin configuration is the word to say in place of `seen`. One that a header cannot hold is
// refused.
package main

import "strings"

const defaultWord = "seen"

// words has the word of each context. A stream takes over that of its plugin: several plugins with
// this code, each with a configuration of its own, may share one virtual machine.
var words = map[uint32]string{}

// A library has no use for it, but the compiler wants it. The host never calls it.
func main() {}

//go:wasmexport proxy_abi_version_0_2_1
func abiVersion() {}

//go:wasmexport proxy_on_context_create
func onContextCreate(context, parent uint32) {
	if parent == 0 {
		words[context] = defaultWord
	} else {
		words[context] = words[parent]
	}
}

//go:wasmexport proxy_on_configure
func onConfigure(root, size uint32) bool {
	word := strings.TrimSpace(pluginConfiguration(size))
	if strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r > '~' }) {
		logLine(levelError, "the plugin configuration is not a word that a header can hold")
		return false
	}
	if word != "" {
		words[root] = word
	}
	return true
}

//go:wasmexport proxy_on_request_headers
func onRequestHeaders(context, headers, endOfStream uint32) uint32 {
	path := header(requestHeaders, ":path")
	if header(requestHeaders, "x-deny") == "1" {
		logLine(levelInfo, "denied "+path)
		respond(403, "denied\n")
		// There is a response already; the request must go no further.
		return stopIteration
	}
	seen := words[context] + " " + path
	logLine(levelInfo, seen)
	// Set, not added: a client must not bring its own.
	setHeader(requestHeaders, "x-go-plugin", seen)
	return continueIteration
}

// Runs for the plugin's own response too.
//
//go:wasmexport proxy_on_response_headers
func onResponseHeaders(context, headers, endOfStream uint32) uint32 {
	addHeader(responseHeaders, "x-plugin", "go")
	return continueIteration
}

//go:wasmexport proxy_on_delete
func onDelete(context uint32) {
	delete(words, context)
}
