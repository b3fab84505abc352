//! The calls, once for each client: their types differ and their methods do not.

/// Makes a module `$name` with the calls of `$client`.
macro_rules! calls {
    ($name:ident, $client:ident) => {
        mod $name {
            use std::collections::HashMap;
            use std::time::Duration;

            use anyhow::{Context, Result, ensure};
            use $client::builds::{NewBuild, NewRepoBuild};
            use $client::logs::LogEvent;
            use $client::types::{CheckoutRequest, CreatePipelineRequest, RedeemCouponRequest};
            use $client::{HarmontClient, HarmontError};
            use futures_util::StreamExt;

            const ORG: &str = "acme";

            /// Two steps in a chain; the second fails on purpose.
            fn ir(second: &str) -> String {
                serde_json::json!({"version": "0", "graph": {
                    "nodes": [
                        {"step": {"key": "one", "cmd": "echo first; echo second >&2", "image": "host"}, "env": {}},
                        {"step": {"key": "two", "cmd": second, "label": "Two"}, "env": {}},
                    ],
                    "node_holes": [], "edge_property": "directed", "edges": [[0, 1, "builds_in"]],
                }})
                .to_string()
            }

            fn new_build(pipeline: &str, ir: String) -> NewBuild {
                NewBuild {
                    org: ORG.into(),
                    pipeline: pipeline.into(),
                    branch: "main".into(),
                    commit: "0".repeat(40),
                    message: Some("by a published client".into()),
                    pipeline_ir: ir,
                    // An empty tar, in gzip's stored form.
                    source_tgz: empty_archive(),
                    env: HashMap::new(),
                }
            }

            /// 1,024 zero bytes, stored.
            fn empty_archive() -> Vec<u8> {
                let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 0x00, 0x04, 0xff, 0xfb];
                gzip.extend([0; 1024]);
                // The checksum and the length.
                gzip.extend([0x2e, 0xaf, 0xb5, 0xef, 0x00, 0x04, 0, 0]);
                gzip
            }

            pub async fn all(url: &str, token: &str) -> Result<()> {
                let client = HarmontClient::with_base_url(token, url);
                account(url, &client).await.context("account")?;
                pipelines(&client).await.context("pipelines")?;
                passing(url, &client).await.context("a build that passes")?;
                failing(&client).await.context("a build that fails")?;
                refused(&client).await.context("refusals")?;
                cancelled(&client).await.context("a build that is cancelled")?;
                billing(&client).await.context("billing")
            }

            async fn account(url: &str, client: &HarmontClient) -> Result<()> {
                client.raw().ping().await?;
                let user = client.raw().get_current_user().await?.into_inner();
                ensure!(user.email.contains('@'));
                let page = client.raw().list_organizations(None, Some(1)).await?.into_inner();
                ensure!(page.data.len() == 1 && page.data[0].slug == ORG);
                client.raw().get_organization(ORG).await?;
                ensure!(client.raw().get_organization("nobodys").await.is_err());
                let made = client.create_api_token("for a test").await?;
                let other = HarmontClient::with_base_url(made, url);
                other.raw().get_current_user().await?;
                let stranger = HarmontClient::with_base_url("wrong", url);
                let refused = stranger.get_build(ORG, "ci", 1).await;
                ensure!(matches!(refused, Err(HarmontError::Unauthorized)));
                let anonymous = HarmontClient::anonymous(url);
                for refused in [anonymous.redeem_code("no").await, anonymous.claim_token("no").await] {
                    let Err(HarmontError::Api { status: 400, code, .. }) = refused else {
                        anyhow::bail!("not refused as the service does: {refused:?}");
                    };
                    ensure!(code == "cli_code_invalid");
                }
                Ok(())
            }

            async fn pipelines(client: &HarmontClient) -> Result<()> {
                let request: CreatePipelineRequest = serde_json::from_value(serde_json::json!({
                    "name": concat!("Made by ", stringify!($name)), "repository": "local/x",
                    "default_branch": "main",
                }))?;
                let slug = concat!("made-by-", stringify!($name));
                let made = client.raw().create_pipeline(ORG, &request).await?.into_inner();
                ensure!(made.slug == slug);
                ensure!(client.raw().create_pipeline(ORG, &request).await.is_err(), "taken");
                let got = client.raw().get_pipeline(ORG, slug).await?.into_inner();
                ensure!(got.repo_name.as_deref() == Some("local/x"));
                ensure!(client.raw().get_pipeline(ORG, "nothing").await.is_err());
                // Through pages of one.
                let (mut cursor, mut slugs) = (None, Vec::new());
                loop {
                    let page = client.raw().list_pipelines(ORG, cursor.as_deref(), Some(1)).await?;
                    let page = page.into_inner();
                    slugs.extend(page.data.into_iter().map(|pipeline| pipeline.slug));
                    cursor = page.next_cursor;
                    if cursor.is_none() {
                        break;
                    }
                }
                ensure!(slugs.iter().filter(|known| *known == slug).count() == 1, "{slugs:?}");
                Ok(())
            }

            async fn ended(client: &HarmontClient, pipeline: &str, number: i64) -> Result<String> {
                for _ in 0..600 {
                    let build = client.get_build(ORG, pipeline, number).await?;
                    let state = build.state.to_string();
                    if ["passed", "failed", "canceled"].contains(&state.as_str()) {
                        return Ok(state);
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                anyhow::bail!("the build does not end")
            }

            async fn passing(url: &str, client: &HarmontClient) -> Result<()> {
                let build = client
                    .submit_repo_build(NewRepoBuild {
                        org: ORG.into(),
                        repo_name: "Acme/Widgets".into(),
                        source_slug: "ci".into(),
                        branch: "main".into(),
                        commit: "0".repeat(40),
                        message: None,
                        pipeline_ir: ir("cat /dev/null; echo third"),
                        source_tgz: empty_archive(),
                        env: HashMap::new(),
                    })
                    .await?;
                let pipeline = build.pipeline_slug.clone();
                ensure!(ended(client, &pipeline, build.number).await? == "passed");
                let jobs = client.list_jobs(ORG, &pipeline, build.number).await?;
                ensure!(jobs.len() == 2 && jobs[0].step_key.as_deref() == Some("one"));
                let id = jobs[0].id.to_string();
                client.raw().get_job(ORG, &pipeline, build.number, &id).await?;
                let token = client.log_token(ORG, &pipeline, build.number).await?;
                let id = id.parse().context("an id that is a uuid")?;
                let stream = client.stream_job_logs(url, id, &token.token).await?;
                let mut stream = std::pin::pin!(stream);
                let (mut text, mut done) = (String::new(), false);
                while let Some(event) = stream.next().await {
                    match event? {
                        LogEvent::History(chunks) => text.extend(chunks.into_iter().map(|chunk| chunk.content)),
                        LogEvent::Chunk(chunk) => text += &chunk.content,
                        LogEvent::Done => done = true,
                    }
                }
                ensure!(done && text.contains("first\n") && text.contains("second\n"), "{text:?}");
                let wrong = client.stream_job_logs(url, id, "wrong").await;
                ensure!(matches!(wrong.err(), Some(HarmontError::Unauthorized)));
                let page = client.raw().list_builds(ORG, &pipeline, None, None).await?.into_inner();
                ensure!(page.data.len() == usize::try_from(build.number)?);
                Ok(())
            }

            async fn failing(client: &HarmontClient) -> Result<()> {
                let slug = concat!("made-by-", stringify!($name));
                let build = client.submit_build(new_build(slug, ir("exit 3"))).await?;
                ensure!(ended(client, slug, build.number).await? == "failed");
                let jobs = client.list_jobs(ORG, slug, build.number).await?;
                ensure!(jobs[1].exit_code == Some(3), "{:?}", jobs[1].exit_code);
                Ok(())
            }

            async fn refused(client: &HarmontClient) -> Result<()> {
                let slug = concat!("made-by-", stringify!($name));
                let refused = client.submit_build(new_build(slug, "{".into())).await;
                let Err(HarmontError::Api { status: 422, code, .. }) = refused else {
                    anyhow::bail!("not refused as the service does: {refused:?}");
                };
                ensure!(code == "build_plan_rejected");
                let missing = client.get_build(ORG, slug, 99_999).await;
                ensure!(matches!(missing, Err(HarmontError::NotFound(_))));
                let unknown = client
                    .submit_repo_build(NewRepoBuild {
                        org: ORG.into(),
                        repo_name: "acme/unknown".into(),
                        source_slug: "ci".into(),
                        branch: "main".into(),
                        commit: "0".repeat(40),
                        message: None,
                        pipeline_ir: ir("true"),
                        source_tgz: empty_archive(),
                        env: HashMap::new(),
                    })
                    .await;
                let Err(HarmontError::Api { status: 404, code, .. }) = unknown else {
                    anyhow::bail!("not refused as the service does: {unknown:?}");
                };
                ensure!(code == "pipeline_not_found");
                Ok(())
            }

            async fn cancelled(client: &HarmontClient) -> Result<()> {
                let slug = concat!("made-by-", stringify!($name));
                let build = client.submit_build(new_build(slug, ir("sleep 60"))).await?;
                for _ in 0..600 {
                    let jobs = client.list_jobs(ORG, slug, build.number).await?;
                    if jobs[1].state.to_string() == "running" {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                client.cancel_build(ORG, slug, build.number).await?;
                ensure!(ended(client, slug, build.number).await? == "canceled");
                Ok(())
            }

            async fn billing(client: &HarmontClient) -> Result<()> {
                let raw = client.raw();
                let before = raw.get_billing_balance(ORG).await?.into_inner().balance_cents;
                let coupon = RedeemCouponRequest { code: "WELCOME".into() };
                let credit = raw.redeem_coupon(ORG, &coupon).await?.into_inner();
                ensure!(credit.balance_cents == before + credit.credit_cents);
                ensure!(raw.redeem_coupon(ORG, &coupon).await.is_err(), "used");
                let list = raw.list_billing_transactions(ORG, None, Some(10)).await?.into_inner();
                ensure!(list.data[0].amount_cents == credit.credit_cents);
                raw.get_billing_usage(ORG, "2026-01-01", "2099-01-01").await?;
                let checkout = CheckoutRequest { amount_cents: 1_000 };
                ensure!(!raw.create_checkout(ORG, &checkout).await?.into_inner().checkout_url.is_empty());
                Ok(())
            }
        }
    };
}
