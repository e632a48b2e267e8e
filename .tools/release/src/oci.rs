//! One image for container runtimes, for all platforms: an OCI image layout in a tar file
//! (<https://github.com/opencontainers/image-spec>). A runtime takes its own platform from the index. As in an archive, the bytes
//! depend only on the programs and the date.

use std::collections::BTreeMap;

use anyhow::Result;
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, DescriptorBuilder, Digest, HistoryBuilder,
    ImageConfigurationBuilder, ImageIndexBuilder, ImageManifestBuilder, MediaType,
    OciLayoutBuilder, Os, PlatformBuilder, RootFsBuilder, Sha256Digest,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType};

use crate::NAME;
use crate::archive::header;
use crate::image::Platform;

const DIRECTORY: u32 = 0o755;
const PROGRAM: u32 = 0o755;
const FILE: u32 = 0o644;
/// Of /tmp.
const FOR_ALL: u32 = 0o1777;

/// An image that is not yet complete.
pub struct Image {
    version: String,
    date: u64,
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: Vec<Descriptor>,
}

impl Image {
    /// Begins an image without platforms. All its files have this date, in seconds since 1970.
    pub fn new(version: &str, date: u64) -> Self {
        Self { version: version.to_owned(), date, blobs: BTreeMap::new(), manifests: Vec::new() }
    }

    /// Adds a platform with this program. Its only layer has the program and an empty /tmp.
    pub fn add(&mut self, platform: &Platform, program: &[u8]) -> Result<()> {
        let mut layer = Builder::new(Vec::new());
        self.append(&mut layer, NAME, EntryType::Regular, PROGRAM, program)?;
        self.append(&mut layer, "tmp/", EntryType::Directory, FOR_ALL, &[])?;
        let layer = self.blob(MediaType::ImageLayer, layer.into_inner()?)?.build()?;

        let architecture = Arch::from(platform.architecture);
        let created = humantime::format_rfc3339_seconds(
            std::time::UNIX_EPOCH + std::time::Duration::from_secs(self.date),
        );
        let config = ConfigBuilder::default()
            .entrypoint([format!("/{NAME}")])
            .cmd(["-K", "/tmp/x", "/bye"].map(str::to_owned))
            .build()?;
        // The layer is not compressed, so its digest is that of its files.
        let files = RootFsBuilder::default()
            .typ("layers")
            .diff_ids([layer.digest().to_string()])
            .build()?;
        let made =
            HistoryBuilder::default().created(created.to_string()).created_by(NAME).build()?;
        let mut configuration = ImageConfigurationBuilder::default()
            .created(created.to_string())
            .architecture(architecture.clone())
            .os(Os::Linux)
            .config(config)
            .rootfs(files)
            .history([made]);
        let mut of_platform = PlatformBuilder::default().architecture(architecture).os(Os::Linux);
        if let Some(variant) = platform.variant {
            configuration = configuration.variant(variant);
            of_platform = of_platform.variant(variant);
        }
        let configuration =
            self.blob(MediaType::ImageConfig, json(&configuration.build()?)?)?.build()?;
        let manifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(MediaType::ImageManifest)
            .config(configuration)
            .layers([layer])
            .build()?;
        let manifest = self
            .blob(MediaType::ImageManifest, json(&manifest)?)?
            .platform(of_platform.build()?)
            .build()?;
        self.manifests.push(manifest);
        Ok(())
    }

    /// The bytes of the tar file.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        let index = |manifests| {
            ImageIndexBuilder::default()
                .schema_version(2_u32)
                .media_type(MediaType::ImageIndex)
                .manifests(manifests)
                .build()
        };
        // The index of the platforms has a name, so it is itself in the index of the file.
        let platforms = json(&index(std::mem::take(&mut self.manifests))?)?;
        let name = format!("{NAME}:{}", self.version);
        let name = ("org.opencontainers.image.ref.name".to_owned(), name);
        let platforms = self.blob(MediaType::ImageIndex, platforms)?.annotations([name]).build()?;

        let mut builder = Builder::new(Vec::new());
        self.append(&mut builder, "blobs/", EntryType::Directory, DIRECTORY, &[])?;
        self.append(&mut builder, "blobs/sha256/", EntryType::Directory, DIRECTORY, &[])?;
        let layout = OciLayoutBuilder::default().image_layout_version("1.0.0").build()?;
        let files = self
            .blobs
            .iter()
            .map(|(digest, bytes)| (format!("blobs/sha256/{digest}"), bytes.clone()));
        let files = files.chain([
            ("index.json".to_owned(), json(&index(vec![platforms])?)?),
            ("oci-layout".to_owned(), json(&layout)?),
        ]);
        for (name, bytes) in files {
            self.append(&mut builder, &name, EntryType::Regular, FILE, &bytes)?;
        }
        Ok(builder.into_inner()?)
    }

    /// Adds a blob and returns its beginning descriptor.
    fn blob(&mut self, kind: MediaType, bytes: Vec<u8>) -> Result<DescriptorBuilder> {
        let digest = format!("{:x}", Sha256::digest(&bytes));
        let size = bytes.len() as u64;
        self.blobs.insert(digest.clone(), bytes);
        let digest = Digest::from(digest.parse::<Sha256Digest>()?);
        Ok(DescriptorBuilder::default().media_type(kind).size(size).digest(digest))
    }

    fn append(
        &self,
        builder: &mut Builder<Vec<u8>>,
        name: &str,
        kind: EntryType,
        mode: u32,
        bytes: &[u8],
    ) -> Result<()> {
        let mut header = header(kind, mode, self.date, bytes.len() as u64);
        Ok(builder.append_data(&mut header, name, bytes)?)
    }
}

/// JSON with the keys in their alphabetical order: the fields of some structures come in any.
fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(&serde_json::to_value(value)?)?)
}
