//! Nodes and stores of the cluster.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Context;

/// Nodes and stores of the cluster.
#[derive(Serialize, ToSchema)]
pub(crate) struct ClusterView {
    /// Nodes.
    nodes: Vec<NodeView>,
    /// Stores.
    stores: Vec<StoreView>,
}

/// A node.
#[derive(Serialize, ToSchema)]
pub(crate) struct NodeView {
    /// Its number.
    id: u64,
    /// Its host name.
    host: String,
    /// Its site.
    site: String,
}

/// A store.
#[derive(Serialize, ToSchema)]
pub(crate) struct StoreView {
    /// Its number.
    id: u64,
    /// The node that should lead it.
    home: u64,
    /// Nodes that have a replica.
    replicas: Vec<u64>,
}

/// Lists nodes and stores.
#[utoipa::path(get, path = "/nodes", tag = "status", responses((status = 200, body = ClusterView)))]
pub(crate) async fn list_nodes(State(context): State<Arc<Context>>) -> Json<ClusterView> {
    let nodes = context.directory.nodes().into_iter();
    let stores = context.directory.stores().into_iter();
    Json(ClusterView {
        nodes: nodes
            .map(|node| NodeView { id: node.id, host: node.host, site: node.site })
            .collect(),
        stores: stores
            .map(|store| StoreView { id: store.id.0, home: store.home, replicas: store.replicas })
            .collect(),
    })
}
