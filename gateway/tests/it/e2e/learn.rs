//! `portcullis learn`: what plugins use is what they need.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::e2e::cli::{file, text};
use crate::e2e::harness::{Client, Gate, Setup, get, guest, run};

/// Runs `learn` on a configuration and sends it the load; gives the block that it writes.
async fn learn(config: &str) -> String {
    let path = file("learn.yaml", config);
    let output = path.with_extension("learned.yaml");
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["--log-json", "learn", path.to_str().unwrap(), "-o", output.to_str().unwrap()])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    let address = lines.find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(&line).ok()?;
        (line["fields"]["message"] == "listening").then(|| line["fields"]["address"].as_str().map(str::to_owned))?
    });
    // Nobody else reads what it logs.
    let drain = std::thread::spawn(move || lines.for_each(drop));
    load(&mut Client::h1(address.unwrap().parse().unwrap()).await).await;
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success() && child.wait().unwrap().success());
    drain.join().unwrap();
    let learned = std::fs::read(output).unwrap();
    text(&learned)
}

async fn load(client: &mut Client) {
    assert_eq!(client.ask(get("/")).await.header("x-plugin"), "header_tour");
    assert_eq!(client.ask(get("/hello")).await.text(), "Hello, World!\n");
}

#[test]
fn what_is_learned_passes_and_every_line_of_it_counts() {
    run(async {
        let setup = Setup::echo().plugin("learned", &guest("header_tour"), "").text();
        let yaml = learn(&setup).await;
        let block: Vec<_> = yaml.lines().skip_while(|line| !line.starts_with("capability")).collect();
        assert!(block.len() > 5, "{yaml}");
        let flow = |lines: &[&str]| {
            let lines: Vec<_> = lines.iter().skip(2).map(|line| line.split(" #").next().unwrap().trim()).collect();
            format!("capability_restriction_config: {{allowed_capabilities: {{{}}}}}", lines.join(", "))
        };
        let with = |lines: &[&str]| Setup::echo().plugin("learned", &guest("header_tour"), &flow(lines)).text();
        let gate = Gate::start(&with(&block));
        load(&mut gate.h1().await).await;
        assert_eq!(gate.admin("/denials").await.json()["denials"], serde_json::json!([]), "{yaml}");
        drop(gate);
        for index in 2..block.len() {
            let mut fewer = block.clone();
            let line = fewer.remove(index);
            // A plugin may not even start.
            let Ok(gate) = Gate::try_start(&with(&fewer)) else { continue };
            let mut client = gate.h1().await;
            client.ask(get("/")).await;
            client.ask(get("/hello")).await;
            drop(client);
            let denials = gate.admin("/denials").await.json();
            assert!(
                denials["denials"].as_array().is_some_and(|denials| !denials.is_empty()),
                "without {line}: {denials}"
            );
        }
    });
}
