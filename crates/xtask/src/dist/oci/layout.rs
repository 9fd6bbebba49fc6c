//! The image: a layer, its configuration and its manifest, in an archive of the image layout
//! (OCI image specification, version 1.1). A file in the form of `docker save` names the same
//! blobs, for versions of Docker that do not read the layout.

use std::env;

use anyhow::bail;
use serde_json::{Value, json};
use tar::Builder;

use super::ReleasedAt;
use super::files::{CONFIGURATIONS, Entry, STATE, USER};
use super::layer::{Layer, append, digest};
use crate::dist::VERSION;

/// The name under which engines load the image.
const NAME: &str = "localhost/aquatic";

/// What the image runs if nothing else is asked for.
const DEFAULT_DAEMON: &str = "aquatic-udp";

/// The program of the first process asks itself, whichever daemon it is.
const HEALTH_CHECK: [&str; 3] = ["CMD", "/proc/1/exe", "health"];

/// The archive of an image with these daemons.
///
/// # Errors
///
/// If this machine's architecture has no name, or a name is too long.
pub(super) fn archive(
    layer: &Layer,
    daemons: &[String],
    released_at: &ReleasedAt,
) -> anyhow::Result<Vec<u8>> {
    let mut blobs = Blobs::default();
    let layer_descriptor = blobs.add("layer.v1.tar+gzip", layer.compressed.clone());
    let configuration = configuration(layer, daemons, released_at)?;
    let configuration = blobs.add("config.v1+json", text(&configuration));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type("manifest.v1+json"),
        "config": &configuration,
        "layers": [&layer_descriptor],
        "annotations": labels(released_at),
    });
    let mut manifest = blobs.add("manifest.v1+json", text(&manifest));
    let tag = format!("{NAME}:{VERSION}");
    manifest["annotations"] = json!({
        "io.containerd.image.name": &tag,
        "org.opencontainers.image.ref.name": &tag,
    });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": media_type("index.v1+json"),
        "manifests": [manifest],
    });
    let saved = json!([{
        "Config": path_of(&configuration),
        "RepoTags": [tag],
        "Layers": [path_of(&layer_descriptor)],
    }]);
    let layout = json!({ "imageLayoutVersion": "1.0.0" });

    let mut archive = Builder::new(Vec::new());
    let mut add = |path: &str, content: Option<Vec<u8>>| {
        let entry = Entry {
            mode: if content.is_some() { 0o644 } else { 0o755 },
            owner: 0,
            content,
        };
        append(&mut archive, path, &entry, released_at.seconds)
    };
    add("oci-layout", Some(text(&layout)))?;
    add("index.json", Some(text(&index)))?;
    add("manifest.json", Some(text(&saved)))?;
    add("blobs", None)?;
    add("blobs/sha256", None)?;
    for (path, content) in blobs.0 {
        add(&path, Some(content))?;
    }
    Ok(archive.into_inner()?)
}

/// What manifests refer to, by path.
#[derive(Default)]
struct Blobs(Vec<(String, Vec<u8>)>);

impl Blobs {
    /// Adds a blob; returns its descriptor.
    fn add(&mut self, kind: &str, content: Vec<u8>) -> Value {
        let descriptor = json!({
            "mediaType": media_type(kind),
            "digest": digest(&content),
            "size": content.len(),
        });
        self.0.push((path_of(&descriptor), content));
        descriptor
    }
}

/// The path of a blob in the archive.
fn path_of(descriptor: &Value) -> String {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    format!("blobs/{}", digest.replace(':', "/"))
}

fn media_type(kind: &str) -> String {
    format!("application/vnd.oci.image.{kind}")
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// What an engine needs to know to run the image.
fn configuration(
    layer: &Layer,
    daemons: &[String],
    released_at: &ReleasedAt,
) -> anyhow::Result<Value> {
    if !daemons.iter().any(|daemon| daemon == DEFAULT_DAEMON) {
        bail!("there is no {DEFAULT_DAEMON}");
    }
    Ok(json!({
        "created": &released_at.text,
        "architecture": architecture(env::consts::ARCH)?,
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "ExposedPorts": { "3000/tcp": {}, "3000/udp": {}, "3001/tcp": {} },
            "Env": [
                "PATH=/usr/bin",
                format!("CONFIGURATION_DIRECTORY={CONFIGURATIONS}"),
                format!("STATE_DIRECTORY={STATE}"),
            ],
            "Cmd": [DEFAULT_DAEMON],
            "Volumes": { STATE: {} },
            "WorkingDir": STATE,
            "Labels": labels(released_at),
            "StopSignal": "SIGTERM",
            // Not in the specification. Docker reads it; times are in nanoseconds.
            "Healthcheck": {
                "Test": HEALTH_CHECK,
                "Interval": 30_000_000_000_u64,
                "Timeout": 25_000_000_000_u64,
                "StartPeriod": 60_000_000_000_u64,
                "Retries": 3,
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [&layer.unpacked_digest] },
        "history": [{
            "created": &released_at.text,
            "created_by": "cargo xtask dist oci",
        }],
    }))
}

/// What the image says of itself, with the keys of OCI.
fn labels(released_at: &ReleasedAt) -> Value {
    json!({
        "org.opencontainers.image.created": &released_at.text,
        "org.opencontainers.image.title": "aquatic",
        "org.opencontainers.image.description":
            "BitTorrent trackers over UDP, HTTP and WebSocket, with their load tests",
        "org.opencontainers.image.version": VERSION,
        "org.opencontainers.image.source": env!("CARGO_PKG_REPOSITORY"),
        "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
    })
}

/// An architecture of Rust, as OCI calls it.
fn architecture(name: &str) -> anyhow::Result<&'static str> {
    Ok(match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "riscv64" => "riscv64",
        other => bail!("no image can be made for {other}"),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;
    use crate::dist::oci::files::Files;

    fn released_at() -> ReleasedAt {
        ReleasedAt {
            seconds: 1_000,
            text: "1970-01-01T00:16:40Z".to_owned(),
        }
    }

    fn image() -> Vec<u8> {
        let layer = Layer::of(&Files::new(), 0).unwrap();
        let daemons = ["aquatic-http", "aquatic-udp"].map(str::to_owned);
        archive(&layer, &daemons, &released_at()).unwrap()
    }

    /// All files of an archive.
    fn unpacked(image: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(image).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), content);
        }
        files
    }

    #[test]
    fn all_that_is_referred_to_is_there() {
        let files = unpacked(&image());
        let json = |path: &str| serde_json::from_slice::<Value>(&files[path]).unwrap();
        // The content of a blob, which must be what its descriptor says.
        let blob = |descriptor: &Value| {
            let content = &files[&path_of(descriptor)];
            assert_eq!(descriptor["digest"], digest(content));
            assert_eq!(descriptor["size"], content.len());
            content
        };
        assert_eq!(json("oci-layout")["imageLayoutVersion"], "1.0.0");
        let manifest: Value =
            serde_json::from_slice(blob(&json("index.json")["manifests"][0])).unwrap();
        let configuration: Value = serde_json::from_slice(blob(&manifest["config"])).unwrap();
        blob(&manifest["layers"][0]);
        let saved = &json("manifest.json")[0];
        assert_eq!(saved["Config"], path_of(&manifest["config"]));
        assert_eq!(saved["Layers"][0], path_of(&manifest["layers"][0]));

        let of_image = &configuration["config"];
        assert_eq!(of_image["User"], "65532:65532");
        assert_eq!(of_image["Cmd"][0], "aquatic-udp");
        let version = &of_image["Labels"]["org.opencontainers.image.version"];
        assert_eq!(*version, VERSION);
        let source = &of_image["Labels"]["org.opencontainers.image.source"];
        assert!(source.as_str().unwrap().starts_with("https://"), "{source}");
    }

    #[test]
    fn images_of_the_same_files_are_the_same() {
        assert_eq!(image(), image());
    }

    #[test]
    fn an_image_without_its_default_is_refused() {
        let layer = Layer::of(&Files::new(), 0).unwrap();
        assert!(archive(&layer, &["aquatic-ws".to_owned()], &released_at()).is_err());
        assert!(architecture("s390").is_err());
    }
}
