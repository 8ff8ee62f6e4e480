// Marks requests and responses, in AssemblyScript with @solo-io/proxy-runtime.
//
// For each request this plugin
//
// * sets the request header `x-as-plugin: seen /path`,
// * adds the response header `x-plugin: assemblyscript`,
// * logs `seen /path` at level info,
// * answers 403 with `denied` if the request has `x-deny: 1`, and logs `denied /path`.
//
// The plugin configuration is the word to say in place of `seen`. One that a header cannot hold is
// refused. The configuration of the host must name the root id `as_headers`: the SDK finds the
// plugin by it, and throws if there is none of that name.

// The callbacks that the host looks for.
export * from "@solo-io/proxy-runtime/proxy";

import {
  Context,
  FilterHeadersStatusValues,
  GrpcStatusValues,
  LogLevelValues,
  RootContext,
  log,
  registerRootContext,
  send_local_response,
  stream_context,
} from "@solo-io/proxy-runtime";
import { BufferTypeValues, get_buffer_bytes } from "@solo-io/proxy-runtime/runtime";

// The plugin itself, with its configuration.
class HeadersRoot extends RootContext {
  word: string = "seen";

  // Does not call the SDK's own, which hands the host a size where an address belongs, and so
  // cannot tell an empty configuration from another.
  onConfigure(size: u32): bool {
    const configuration = get_buffer_bytes(BufferTypeValues.PluginConfiguration, 0, size);
    const word = String.UTF8.decode(configuration).trim();
    for (let i = 0; i < word.length; i++) {
      const unit = word.charCodeAt(i);
      if (unit < 0x20 || unit > 0x7e) {
        log(LogLevelValues.error, "the plugin configuration is not a word that a header can hold");
        return false;
      }
    }
    if (word.length != 0) this.word = word;
    return true;
  }

  createContext(context_id: u32): Context {
    return new Headers(context_id, this);
  }
}

// One request.
class Headers extends Context {
  root: HeadersRoot;

  constructor(context_id: u32, root: HeadersRoot) {
    super(context_id, root);
    this.root = root;
  }

  onRequestHeaders(headers: u32, end_of_stream: bool): FilterHeadersStatusValues {
    const request = stream_context.headers.request;
    const path = request.get(":path");
    if (request.get("x-deny") == "1") {
      log(LogLevelValues.info, "denied " + path);
      const body = String.UTF8.encode("denied\n");
      send_local_response(403, "", body, [], GrpcStatusValues.InvalidCode);
      // There is a response already; the request must go no further.
      return FilterHeadersStatusValues.StopIteration;
    }
    const seen = this.root.word + " " + path;
    log(LogLevelValues.info, seen);
    // Set, not added: a client must not bring its own.
    request.replace("x-as-plugin", seen);
    return FilterHeadersStatusValues.Continue;
  }

  // Runs for the plugin's own response too.
  onResponseHeaders(headers: u32, end_of_stream: bool): FilterHeadersStatusValues {
    stream_context.headers.response.add("x-plugin", "assemblyscript");
    return FilterHeadersStatusValues.Continue;
  }
}

registerRootContext((context_id: u32) => new HeadersRoot(context_id), "as_headers");
