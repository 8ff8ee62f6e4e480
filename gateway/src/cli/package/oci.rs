//! An image layout of OCI with a plugin in it: the artifact of CNCF's working group, with one layer and a configuration of its own.

use std::io;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The type of the configuration.
const CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// The type of the layer.
const LAYER: &str = "application/wasm";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The annotation with the rights that the plugin requests.
const RIGHTS: &str = "portcullis.rights";

/// Writes the layout, and returns the digest of the manifest. A layout that is there gets this image in place of its own.
///
/// # Errors
/// A file cannot be written.
pub(super) fn write(folder: &Path, module: &[u8], title: &str, rights: Option<&str>) -> io::Result<String> {
    std::fs::create_dir_all(folder.join("blobs/sha256"))?;
    let layer = blob(folder, LAYER, module)?;
    let config = json!({ "architecture": "wasm", "os": "wasip1", "layerDigests": [layer["digest"]] });
    let config = blob(folder, CONFIG, config.to_string().as_bytes())?;
    let mut layer = layer;
    layer["annotations"] = json!({ "org.opencontainers.image.title": title });
    let mut manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
    if let Some(rights) = rights {
        manifest["annotations"] = json!({ RIGHTS: rights });
    }
    let manifest = blob(folder, MANIFEST, manifest.to_string().as_bytes())?;
    let digest = manifest["digest"].as_str().unwrap_or_default().to_owned();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest] });
    std::fs::write(folder.join("index.json"), index.to_string())?;
    std::fs::write(folder.join("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }).to_string())?;
    Ok(digest)
}

/// Writes a blob, and returns its descriptor.
fn blob(folder: &Path, media_type: &str, bytes: &[u8]) -> io::Result<Value> {
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(folder.join("blobs/sha256").join(&digest), bytes)?;
    Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() }))
}
