//! The enums of the ABI. Range checks are here: a number from a guest becomes one of these or
//! [`Status::BadArgument`].

use super::Status;

macro_rules! abi_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $value:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        pub enum $name { $($(#[$variant_meta])* $variant = $value),* }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
        }

        impl TryFrom<i32> for $name {
            type Error = Status;

            #[inline]
            fn try_from(value: i32) -> Result<Self, Status> {
                match value {
                    $($value => Ok(Self::$variant),)*
                    _ => Err(Status::BadArgument),
                }
            }
        }
    };
}

abi_enum! {
    /// How much a log line matters.
    LogLevel {
        /// The finest detail.
        Trace = 0,
        /// For whoever debugs the plugin.
        Debug = 1,
        /// Normal operation.
        Info = 2,
        /// Something odd that needs no action yet.
        Warn = 3,
        /// Something failed.
        Error = 4,
        /// The plugin cannot do its work.
        Critical = 5,
    }
}

abi_enum! {
    /// Which header map a hostcall means.
    MapType {
        /// The request's headers.
        RequestHeaders = 0,
        /// The request's trailers.
        RequestTrailers = 1,
        /// The response's headers.
        ResponseHeaders = 2,
        /// The response's trailers.
        ResponseTrailers = 3,
        /// Initial metadata of a gRPC callout.
        GrpcReceiveInitialMetadata = 4,
        /// Trailing metadata of a gRPC callout.
        GrpcReceiveTrailingMetadata = 5,
        /// The headers that answer an HTTP callout.
        HttpCallResponseHeaders = 6,
        /// The trailers that answer an HTTP callout.
        HttpCallResponseTrailers = 7,
    }
}

abi_enum! {
    /// Which buffer a hostcall means.
    BufferType {
        /// The request's body.
        HttpRequestBody = 0,
        /// The response's body.
        HttpResponseBody = 1,
        /// Bytes from the TCP client.
        DownstreamData = 2,
        /// Bytes from the TCP upstream.
        UpstreamData = 3,
        /// The body that answers an HTTP callout.
        HttpCallResponseBody = 4,
        /// A message of a gRPC callout.
        GrpcReceiveBuffer = 5,
        /// The VM's configuration.
        VmConfiguration = 6,
        /// The plugin's configuration.
        PluginConfiguration = 7,
        /// The arguments of a foreign function call.
        CallData = 8,
    }
}

abi_enum! {
    /// Which half of a stream to continue or close.
    StreamType {
        /// The HTTP request.
        Request = 0,
        /// The HTTP response.
        Response = 1,
        /// TCP bytes from the client.
        Downstream = 2,
        /// TCP bytes from the upstream.
        Upstream = 3,
    }
}

abi_enum! {
    /// The side that closed a TCP connection.
    PeerType {
        /// Not known.
        Unknown = 0,
        /// This proxy.
        Local = 1,
        /// The other side.
        Remote = 2,
    }
}

abi_enum! {
    /// The kind of a metric.
    MetricType {
        /// Only grows.
        Counter = 0,
        /// Goes up and down.
        Gauge = 1,
        /// A distribution of values.
        Histogram = 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_bad_arguments() {
        assert_eq!(LogLevel::try_from(5), Ok(LogLevel::Critical));
        assert_eq!(LogLevel::try_from(6), Err(Status::BadArgument));
        assert_eq!(MapType::try_from(8), Err(Status::BadArgument));
        assert_eq!(BufferType::try_from(9), Err(Status::BadArgument));
        assert_eq!(StreamType::try_from(4), Err(Status::BadArgument));
        assert_eq!(MetricType::try_from(-1), Err(Status::BadArgument));
    }
}
