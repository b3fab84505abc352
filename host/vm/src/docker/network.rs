//! The network `public`: a bridge of this instance's own.

use std::collections::HashMap;

use bollard::models::NetworkCreateRequest;
use tokio::sync::OnceCell;

use super::engine::Core;
use super::failure::words;
use super::labels::fresh_name;
use crate::error::VmError;

/// The bridge, made for the first machine that wants it.
#[derive(Debug, Default)]
pub(super) struct PublicNetwork(OnceCell<String>);

impl PublicNetwork {
    /// Returns the network's name. Machines on it cannot reach each other; what the daemon's
    /// machine can reach, private addresses too, they can reach through it.
    pub(super) async fn name(&self, core: &Core) -> Result<String, VmError> {
        let made = self.0.get_or_try_init(|| async {
            let name = fresh_name();
            let request = NetworkCreateRequest {
                name: name.clone(),
                driver: Some("bridge".to_owned()),
                options: Some(HashMap::from([(
                    "com.docker.network.bridge.enable_icc".to_owned(),
                    "false".to_owned(),
                )])),
                labels: Some(core.labels.to_map()),
                ..NetworkCreateRequest::default()
            };
            let docker = &core.daemon.docker;
            docker
                .create_network(request)
                .await
                .map_err(core.daemon.failed("make a network"))?;
            Ok(name)
        });
        made.await.cloned()
    }

    /// Removes it, if there is one. Its machines must be gone.
    pub(super) async fn remove(&self, core: &Core) {
        if let Some(name) = self.0.get()
            && let Err(error) = core.daemon.docker.remove_network(name).await
        {
            tracing::debug!(name, error = words(&error), "cannot remove a network");
        }
    }
}
