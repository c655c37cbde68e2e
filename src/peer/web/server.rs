//! What a transfer knows of its web seeds.

/// What is known of a web seed, from its first use to the end of the download: what it gave is blamed on it whenever that turns out.
#[derive(Debug, Default)]
pub(crate) struct Server {
    /// A piece that came from it alone did not verify.
    pub(crate) lied: bool,
    /// A piece that it gave a part of did not verify, and since then none that came from it alone did.
    pub(crate) doubted: bool,
    /// It was asked for blocks, and is read from or waited for.
    pub(crate) asking: bool,
}
