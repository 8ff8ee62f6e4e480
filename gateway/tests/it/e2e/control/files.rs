//! Changes of files as tools make them, under a gateway that watches.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::Value;

use super::live::{Live, made, replace};
use crate::e2e::harness::{Setup, run};
use crate::e2e::record::stop;
use crate::e2e::secrets::tells_configuration;

/// Kubernetes writes a new folder and swaps one link; all files of the volume are others then.
#[test]
fn a_swapped_volume_is_one_generation_of_all_of_it() {
    run(async {
        let folder = made("files-volume");
        let version = |name: &str, number: &str| {
            let folder = folder.join(name);
            fs::create_dir(&folder).unwrap();
            let setup = Setup::echo().plugin(
                "teller",
                &tells_configuration(),
                &format!("configuration: {{a: {number}, b: {{file: secret}}}}"),
            );
            let admin = format!("admin: {:?}", format!("unix:{}", folder.with_file_name("admin.sock").display()));
            fs::write(
                folder.join("gateway.yaml"),
                setup.text().replace("admin: 127.0.0.1:0", &admin) + "watch: true\n",
            )
            .unwrap();
            fs::write(folder.join("secret"), number).unwrap();
        };
        version("..1", "one");
        symlink("..1", folder.join("..data")).unwrap();
        for name in ["gateway.yaml", "secret"] {
            symlink(format!("..data/{name}"), folder.join(name)).unwrap();
        }
        let mut live = Live::of(folder.clone(), r#"{"a":"one","b":"one"}"#).await;
        version("..2", "two");
        symlink("..2", folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        fs::remove_dir_all(folder.join("..1")).unwrap();
        let mut told = live.told().await;
        while told == r#"{"a":"one","b":"one"}"# {
            told = live.told().await;
        }
        assert_eq!(told, r#"{"a":"two","b":"two"}"#, "never one of each");
        live.until_counted(1).await;
        let config = live.config().await;
        assert_eq!((&config["generation"]["number"], &config["last_reload"]["by"]), (&2.into(), &"watch".into()));
        stop(live.server).await;
    });
}

#[test]
fn a_certificate_whose_key_comes_later_waits_for_it() {
    run(async {
        let folder = made("files-tls");
        let pair = || {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            (made.cert.pem(), made.signing_key.serialize_pem())
        };
        let [(first, first_key), (second, second_key)] = [pair(), pair()];
        replace(&folder.join("tls.crt"), &first);
        replace(&folder.join("tls.key"), &first_key);
        let admin = format!("admin: {:?}", format!("unix:{}", folder.join("admin.sock").display()));
        let setup = Setup::echo().plugin("teller", &tells_configuration(), "configuration: one").text();
        let secure = "  - {address: 127.0.0.1:0, name: secure, routes: [{cluster: backend}], \
                      tls: {certificate: {file: tls.crt}, private_key: tls.key}}\n";
        let text = setup.replace("admin: 127.0.0.1:0", &admin).replace("clusters:\n", &format!("{secure}clusters:\n"));
        replace(&folder.join("gateway.yaml"), &format!("{text}watch: true\n"));
        let live = Live::of(folder.clone(), "one").await;
        replace(&folder.join("tls.crt"), &second);
        let mut config = live.config().await;
        while config["pending_reload"] == Value::Null {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            config = live.config().await;
        }
        let pending = config["pending_reload"].as_str().unwrap();
        assert!(
            pending.contains("listeners[1].tls: certificate") && pending.contains("cannot be used together"),
            "{pending}"
        );
        assert_eq!((&config["generation"]["number"], &config["last_reload"]), (&1.into(), &Value::Null));
        replace(&folder.join("tls.key"), &second_key);
        live.until_counted(1).await;
        let config = live.config().await;
        assert_eq!((&config["generation"]["number"], &config["last_reload"]["result"]), (&2.into(), &"success".into()));
        assert_eq!(config["pending_reload"], Value::Null);
        stop(live.server).await;
    });
}
