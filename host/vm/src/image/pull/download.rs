//! A layer to a file, through broken connections.

use std::io;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use oci_client::client::BlobResponse;
use oci_client::errors::OciDistributionError;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt, BufWriter};

use super::{Pull, oci};
use crate::digest;
use crate::error::VmError;
use crate::image::failure::{self, short};
use crate::image::manifest::Descriptor;
use crate::state::{io_error, write_error};

/// Pauses after a connection broke; one more than there are is the end.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(8),
];

/// How far a download is.
struct Partial {
    file: BufWriter<File>,
    hash: Sha256,
    length: u64,
}

/// Fetches a layer. Whenever the connection breaks it goes on from where it was, or from
/// the start if the registry does not take up in the middle.
pub(super) async fn download(
    pull: &Pull,
    layer: &Descriptor,
    to: &Path,
) -> Result<std::fs::File, VmError> {
    let file = File::create(to)
        .await
        .map_err(write_error("cannot make", to))?;
    let mut partial = Partial {
        file: BufWriter::with_capacity(256 << 10, file),
        hash: Sha256::new(),
        length: 0,
    };
    let mut pauses = PAUSES.iter();
    loop {
        let before = partial.length;
        match go_on(pull, layer, to, &mut partial).await {
            Ok(()) => break,
            Err(Broken::Here(error)) => return Err(error),
            Err(Broken::There(error)) => {
                if partial.length > before {
                    // It moves.
                    pauses = PAUSES.iter();
                }
                let pause = pauses.next().filter(|_| is_passing(&error));
                let Some(pause) = pause else {
                    return Err(pull.failed(error));
                };
                tracing::debug!(layer = layer.digest, %error, "going on with a layer");
                tokio::time::sleep(*pause).await;
            }
        }
    }
    partial
        .file
        .flush()
        .await
        .map_err(write_error("cannot write", to))?;
    let found = digest::written(partial.hash);
    if found != layer.digest {
        let short = short(&layer.digest);
        return Err(failure::refused(
            &pull.asked,
            format!("what the registry sends as the layer {short} has the digest {found}"),
        ));
    }
    std::fs::File::open(to).map_err(io_error("cannot open", to))
}

enum Broken {
    /// On this machine, or for good.
    Here(VmError),
    /// On the way.
    There(OciDistributionError),
}

async fn go_on(
    pull: &Pull,
    layer: &Descriptor,
    to: &Path,
    partial: &mut Partial,
) -> Result<(), Broken> {
    let here = |error: io::Error| Broken::Here(write_error("cannot write", to)(error));
    let descriptor = oci(layer);
    let mut stream = if partial.length == 0 {
        pull.client
            .pull_blob_stream(&pull.reference, &descriptor)
            .await
            .map_err(Broken::There)?
    } else {
        let response = pull
            .client
            .pull_blob_stream_partial(&pull.reference, &descriptor, partial.length, None)
            .await;
        match response.map_err(Broken::There)? {
            BlobResponse::Partial(stream) => stream,
            BlobResponse::Full(stream) => {
                pull.meter.take_back(partial.length);
                partial.file.flush().await.map_err(here)?;
                partial.file.get_mut().set_len(0).await.map_err(here)?;
                partial.file.rewind().await.map_err(here)?;
                partial.hash = Sha256::new();
                partial.length = 0;
                stream
            }
        }
    };
    while let Some(piece) = stream.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            // All of it is here: the client compares digests, too, and ours says it better.
            Err(_) if partial.length == layer.size => break,
            Err(error) => return Err(Broken::There(error.into())),
        };
        partial.length += piece.len() as u64;
        if partial.length > layer.size {
            return Err(Broken::Here(failure::refused(
                &pull.asked,
                format!(
                    "the registry sends more than the {} bytes of the layer {}",
                    layer.size,
                    short(&layer.digest)
                ),
            )));
        }
        partial.hash.update(&piece);
        partial.file.write_all(&piece).await.map_err(here)?;
        pull.meter.add(piece.len() as u64);
    }
    if partial.length < layer.size {
        let error = io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("{} of {} bytes came", partial.length, layer.size),
        );
        return Err(Broken::There(error.into()));
    }
    Ok(())
}

/// Tells what may well go away when it is tried again.
fn is_passing(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::IoError(_) => true,
        OciDistributionError::RequestError(error) => !error.is_builder(),
        OciDistributionError::ServerError { code, .. } => *code >= 500 || *code == 429,
        _ => false,
    }
}
