//! Methods in place of struct expressions, which other crates cannot use for what may get further fields.

/// Writes a method for each field: `with_FIELD(field: TYPE) -> field;` takes the value and returns the whole changed.
macro_rules! setters {
    ($($method:ident($argument:ty) -> $field:ident;)*) => { $(
        #[doc = concat!("Returns it with another [`", stringify!($field), "`](Self::", stringify!($field), ").")]
        #[must_use]
        pub fn $method(self, $field: $argument) -> Self {
            Self { $field: $field.into(), ..self }
        }
    )* };
}
pub(crate) use setters;

/// Each struct is also made by all of its fields, so a field without a method does not compile here.
#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use crate::engine::EngineSettings;
    use crate::model::{Compatibility, FailurePolicy, Headers, HttpCall, Limits, LocalResponse, Percent, Plugin};
    use crate::observe::transcript::Replay;
    use crate::resources::{GrpcRequest, Preopen};
    use crate::rights::{Capabilities, OnDenial, Rules};
    use crate::sandbox::{Recycle, VmSpec};
    use crate::vm::Usage;

    fn headers(name: &str) -> Headers {
        [(name, "1")].into_iter().collect()
    }

    #[test]
    fn each_method_of_limits_and_settings_sets_its_field() {
        let (deadline, start_deadline, cpu) = (Duration::from_secs(5), Duration::from_secs(6), Percent::new(7));
        let set = Limits::default()
            .with_memory(1)
            .with_table_elements(2)
            .with_stack(3)
            .with_deadline(deadline)
            .with_start_deadline(start_deadline)
            .with_callouts(8)
            .with_metrics(9)
            .with_buffer(10)
            .with_open_files(11)
            .with_shared(12)
            .with_buffers(13)
            .with_cpu(cpu);
        let limits = Limits {
            memory: 1,
            table_elements: 2,
            stack: 3,
            deadline,
            start_deadline,
            callouts: 8,
            metrics: 9,
            buffer: 10,
            open_files: 11,
            shared: 12,
            buffers: 13,
            cpu,
        };
        assert_eq!(set, limits);
        for (samples, perf_map) in [(true, false), (false, true)] {
            let set =
                EngineSettings::default().with_stack(1).with_samples(samples).with_perf_map(perf_map).with_places(2);
            assert_eq!(set, EngineSettings { stack: 1, samples, perf_map, places: Some(2) });
            let set = Replay::default().with_moved(samples).with_redacted(perf_map);
            assert_eq!(set, Replay { is_moved: samples, is_redacted: perf_map });
        }
    }

    #[test]
    fn each_method_of_a_plugin_and_its_vm_sets_its_field() {
        let capabilities = Capabilities::NONE;
        let set = Plugin::new("name")
            .with_root_id("root")
            .with_vm_id("vm")
            .with_configuration("configuration")
            .with_capabilities(capabilities)
            .with_rules(Rules::NONE)
            .with_on_denial(OnDenial::Trap)
            .with_allow_on_headers_stop_iteration(true)
            .with_compatibility(Compatibility::Spec)
            .with_failure_policy(FailurePolicy::Open)
            .with_usage(Usage::default());
        let plugin = Plugin {
            name: "name".to_owned(),
            root_id: "root".to_owned(),
            vm_id: "vm".to_owned(),
            configuration: Bytes::from_static(b"configuration"),
            capabilities,
            rules: Rules::NONE,
            on_denial: OnDenial::Trap,
            allow_on_headers_stop_iteration: true,
            compatibility: Compatibility::Spec,
            failure_policy: FailurePolicy::Open,
            usage: Usage::default(),
        };
        assert_eq!(set, plugin);
        let environment = vec![("KEY".to_owned(), "value".to_owned())];
        let preopens = vec![Preopen::new("/guest", "host").with_write(true)];
        assert_eq!(preopens, [Preopen { guest: "/guest".to_owned(), host: "host".into(), write: true }]);
        let (limits, age) = (Limits::default().with_memory(1), Duration::from_secs(2));
        let set = VmSpec::default()
            .with_configuration("configuration")
            .with_environment(environment.clone())
            .with_preopens(preopens.clone())
            .with_limits(limits.clone())
            .with_any_effective_context(true)
            .with_recycle(Recycle::default().with_memory(1).with_age(age).with_streams(3).with_linger(age));
        let recycle = Recycle { memory: Some(1), age: Some(age), streams: Some(3), linger: age };
        let configuration = Bytes::from_static(b"configuration");
        assert_eq!(set, VmSpec { configuration, environment, preopens, limits, any_effective_context: true, recycle });
    }

    #[test]
    fn each_method_of_what_plugins_ask_for_sets_its_field() {
        let set = LocalResponse::new(403)
            .with_details("details")
            .with_headers(headers("head"))
            .with_body("body")
            .with_grpc_status(7);
        let (body, timeout) = (Bytes::from_static(b"body"), Some(Duration::from_secs(1)));
        let response = LocalResponse {
            status: 403,
            details: "details".to_owned(),
            headers: headers("head"),
            body: body.clone(),
            grpc_status: Some(7),
        };
        assert_eq!(set, response);
        let set = HttpCall::new("up", headers("head"))
            .with_body("body")
            .with_trailers(headers("trailer"))
            .with_timeout(timeout);
        let upstream = "up".to_owned();
        let (head, trailers) = (headers("head"), headers("trailer"));
        assert_eq!(set, HttpCall { upstream: upstream.clone(), headers: head, body: body.clone(), trailers, timeout });
        let set = GrpcRequest::new("up", "service", "method")
            .with_authority("authority".to_owned())
            .with_metadata(headers("head"))
            .with_message(body.clone())
            .with_timeout(timeout);
        let request = GrpcRequest {
            upstream,
            authority: Some("authority".to_owned()),
            service: "service".to_owned(),
            method: "method".to_owned(),
            metadata: headers("head"),
            message: Some(body),
            timeout,
        };
        assert_eq!(set, request);
    }
}
