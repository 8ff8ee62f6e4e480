-- The load: `wrk -s load.lua URL -- GET|POST`. Prints one line of JSON when done.

init = function(args)
   wrk.method = args[1]
   wrk.headers["user-agent"] = "wrk"
   wrk.headers["accept"] = "*/*"
   wrk.headers["accept-encoding"] = "gzip"
   if args[1] == "POST" then
      wrk.headers["content-type"] = "application/octet-stream"
      wrk.body = string.rep("0123456789abcdef", 1024)
   end
   -- One request, formatted once: wrk should cost as little as it can.
   local request = wrk.format()
   wrk.request = function() return request end
end

done = function(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '\n{"requests": %d, "seconds": %.6f, "p50_us": %d, "p99_us": %d, "max_us": %d, "errors": %d}\n',
      summary.requests, summary.duration / 1e6,
      latency:percentile(50), latency:percentile(99), latency.max,
      e.connect + e.read + e.write + e.status + e.timeout))
end
