//! Makes every call that the published clients have, and checks what comes back:
//! `hm-published-clients URL TOKEN VERSION`.

#[macro_use]
mod calls;

calls!(v0, harmont_cloud_v0);
calls!(v1, harmont_cloud_v1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, token, version] = arguments.as_slice() else {
        anyhow::bail!("hm-published-clients URL TOKEN v0|v1");
    };
    match version.as_str() {
        "v0" => v0::all(url, token).await,
        "v1" => v1::all(url, token).await,
        other => anyhow::bail!("there is no client for {other}"),
    }
}
