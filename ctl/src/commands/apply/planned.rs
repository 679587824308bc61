//! What manifests come to in this lattice: for each application what differs from what is there, and what it would do.

use std::collections::BTreeMap;

use bytes::Bytes;
use mesh_lattice::{
    Digest, Name,
    application::Application,
    control::{Effect, Status},
    name::Labels,
};
use mesh_manifest::{Facts, resolve};
use serde::Serialize;

use super::{
    artifacts,
    files::{Files, Read},
};
use crate::{
    cli::Global,
    client::{Base, Change, Client, Judge, Judgement},
    commands::whole,
    difference::{self, Difference, Field},
    effect::{self, Hosts},
    exit::{self, Exit, Failure},
    output::{Output, Table},
    registry::{self, Registries},
};

/// All that was planned.
pub(super) struct Plan {
    pub(super) apps: Vec<Planned>,
    /// The artifacts, for the store.
    pub(super) artifacts: BTreeMap<Digest, Bytes>,
    pub(super) judge: Judge,
}

/// One application.
pub(crate) struct Planned {
    pub(super) base: Base,
    /// `None` where it is to go away.
    pub(super) wanted: Option<Application>,
    pub(crate) change: Change,
    /// The revision that is wanted, as far as it is known.
    pub(super) revision: u64,
    differences: Vec<Difference>,
    /// What each difference would do, in their order; `None` from a lattice that cannot say.
    effects: Option<Vec<String>>,
    /// What becomes of others: kind, name, application, what.
    others: Vec<(String, String, Name, String)>,
    pub(super) stage: Stage,
}

/// How far one application has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing was written.
    Planned,
    /// It is wanted as planned.
    Written,
    /// It could not be written, and is as it was.
    Failed,
}

/// Reads and judges all of it; an error says all that is wrong.
pub(super) async fn plan(
    client: &Client,
    sources: &[Read],
    files: &Files,
    registry: &registry::Options,
    global: &Global,
    out: &Output,
) -> anyhow::Result<Plan> {
    let status = client.status().await?;
    let labels: Vec<Labels> = status.hosts.iter().map(|host| host.labels.clone()).collect();
    let drafts = files.drafts(sources, Some(&labels), out)?;
    let judge = client.judge(&client.signer()?).await?;
    // What is there is read before what takes its time: whoever changes it from here on is noticed.
    let mut bases = Vec::new();
    for draft in &drafts {
        bases.push(client.base(&draft.name.value, &judge).await?);
    }
    let registries = Registries::new(registry, global.timeout);
    let found = artifacts::read(client, &drafts, &registries, judge.trust()).await;
    let facts = Facts {
        artifacts: found.components,
        others: client.applications(&status, &judge).await?,
        shared: Some(status.config.iter().map(|config| config.name.clone()).collect()),
        complete: true,
        ..Facts::default()
    };
    let resolved = resolve(&drafts, &facts).map_err(|faults| match found.refused {
        true => Failure::new(Exit::Refused, faults.render(false)).into(),
        false => anyhow::Error::from(faults),
    })?;
    out.warn(&resolved.warnings);
    let wanted = bases.into_iter().zip(resolved.applications.into_iter().map(Some));
    let apps = all(client, wanted, &judge, &status).await?;
    Ok(Plan { apps, artifacts: found.bytes, judge })
}

/// What deleting these applications comes to.
pub(crate) async fn plan_removal(client: &Client, names: Vec<Name>, judge: &Judge) -> anyhow::Result<Vec<Planned>> {
    let status = client.status().await?;
    let mut bases = Vec::new();
    for name in names {
        bases.push((client.base(&name, judge).await?, None));
    }
    all(client, bases.into_iter(), judge, &status).await
}

/// All of them, or all that is wrong.
async fn all(
    client: &Client,
    wanted: impl Iterator<Item = (Base, Option<Application>)>,
    judge: &Judge,
    status: &Status,
) -> anyhow::Result<Vec<Planned>> {
    let hosts = Hosts::of(status);
    let (mut apps, mut wrong) = (Vec::new(), Vec::new());
    for (base, wanted) in wanted {
        match one(client, base, wanted, judge, &hosts).await {
            Ok(planned) => apps.push(planned),
            Err(error) => wrong.push(error),
        }
    }
    all_right(wrong)?;
    Ok(apps)
}

/// One error that says them all; it ends as the first does.
fn all_right(mut wrong: Vec<anyhow::Error>) -> anyhow::Result<()> {
    if wrong.len() < 2 {
        return wrong.pop().map_or(Ok(()), Err);
    }
    let exit = wrong.first().map_or(Exit::Failed, exit::kind);
    let said = |error: &anyhow::Error| match exit::hint(error) {
        Some(hint) if !hint.is_empty() => format!("{error:#}\n  hint: {hint}"),
        _ => format!("{error:#}"),
    };
    Err(Failure::new(exit, wrong.iter().map(said).collect::<Vec<_>>().join("\n")).into())
}

/// What putting this in the place of what was read comes to.
async fn one(
    client: &Client,
    base: Base,
    mut wanted: Option<Application>,
    judge: &Judge,
    hosts: &Hosts,
) -> anyhow::Result<Planned> {
    if let (Some(wanted), Some(before)) = (&mut wanted, &base.before) {
        keep_references(wanted, before);
    }
    let name = base.name.clone();
    let mut planned = Planned::new(base, wanted);
    if planned.change == Change::Unchanged {
        return Ok(planned);
    }
    let judged = client.judge_whole(&planned.base, planned.wanted.as_ref(), judge).await;
    match judged.map_err(|error| error.context(format!("app {name}")))? {
        Judgement::Effects(effects) => planned.take(effects.as_deref(), hosts),
        Judgement::Conflict(now) if now.is_as(planned.wanted.as_ref()) => {
            planned = Planned::new(*now, planned.wanted);
        }
        Judgement::Conflict(now) => return Err(whole::conflict(&planned.base, &now).into()),
    }
    Ok(planned)
}

/// Bytes that are the same are not called otherwise because another folder has them.
fn keep_references(wanted: &mut Application, before: &Application) {
    for actor in &mut wanted.actors {
        if let Some(before) = before.actor(&actor.name)
            && before.artifact.digest == actor.artifact.digest
        {
            actor.artifact.reference.clone_from(&before.artifact.reference);
        }
    }
}

impl Planned {
    fn new(base: Base, wanted: Option<Application>) -> Self {
        let differences = difference::differences(base.before.as_ref(), wanted.as_ref());
        let change = match (&base.before, &wanted) {
            (None, None) => Change::Unchanged,
            (Some(_), Some(_)) if differences.is_empty() => Change::Unchanged,
            (None, Some(_)) => Change::Created,
            (Some(_), Some(_)) => Change::Updated,
            (Some(_), None) => Change::Removed,
        };
        let revision = base.revision();
        Self { base, wanted, change, revision, differences, effects: None, others: Vec::new(), stage: Stage::Planned }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.base.name
    }

    fn take(&mut self, effects: Option<&[Effect]>, hosts: &Hosts) {
        let Some(effects) = effects else { return };
        let wanted = self.wanted.as_ref();
        let of = |difference: &Difference| effect::of_part(difference, wanted, effects, hosts);
        self.effects = Some(self.differences.iter().map(of).collect());
        let differs = |effect: &Effect| self.differences.iter().any(|one| one.name == effect.name.as_str());
        let touched = effects.iter().filter(|effect| !differs(effect) && effect.happens());
        self.others = touched
            .map(|effect| {
                let kind = if effect.kind == mesh_lattice::stored::ItemKind::Actor { "actor" } else { "provider" };
                (kind.to_owned(), effect.name.to_string(), effect.app.clone(), effect::beside(effect, hosts))
            })
            .collect();
    }
}

/// A dry run is only worth something where the lattice itself has judged.
pub(super) fn must_be_judged(apps: &[Planned]) -> anyhow::Result<()> {
    if apps.iter().any(|app| app.change != Change::Unchanged && app.effects.is_none()) {
        let failure = Failure::new(Exit::Failed, "the hosts of this lattice cannot judge without writing");
        return Err(failure
            .hint("they are older than this meshctl: nothing was changed, and not all was checked")
            .into());
    }
    Ok(())
}

/// One line of what is shown.
#[derive(Serialize)]
struct Row<'a> {
    kind: String,
    name: String,
    app: &'a Name,
    action: Option<Change>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<String>,
    #[serde(skip_serializing_if = "<[Field]>::is_empty")]
    fields: &'a [Field],
}

/// Shows what is planned, or what was done: each application, and each part that differs.
pub(super) fn show(apps: &[Planned], fields: bool, out: &Output) -> anyhow::Result<()> {
    let rows: Vec<Row<'_>> = apps.iter().flat_map(rows).collect();
    out.show(&rows, || {
        let mut table = Table::new(["", "", ""]);
        for row in &rows {
            let mark = match row.action {
                Some(Change::Created) => "+",
                Some(Change::Removed) => "-",
                Some(Change::Updated) => "~",
                Some(Change::Unchanged) | None => " ",
            };
            let effect = row.effect.clone().unwrap_or_default();
            if row.kind == "app" {
                table.row([format!("app {}", row.name), effect, String::new()]);
                continue;
            }
            table.row([format!("  {mark} {} {}", row.kind, row.name), effect, String::new()]);
            for field in row.fields.iter().filter(|_| fields && row.action == Some(Change::Updated)) {
                table.row([format!("      {field}"), String::new(), String::new()]);
            }
        }
        table
    })
}

fn rows(app: &Planned) -> Vec<Row<'_>> {
    let name = &app.base.name;
    let word = app.change.word();
    let word = match (app.stage, app.change) {
        (Stage::Failed, _) => "not changed".to_owned(),
        (_, Change::Unchanged) => word.to_owned(),
        (Stage::Planned, Change::Updated) => format!("would be {word}, from revision {}", app.revision),
        (Stage::Planned, _) => format!("would be {word}"),
        (Stage::Written, Change::Created | Change::Updated) => format!("{word}: revision {}", app.revision),
        (Stage::Written, _) => word.to_owned(),
    };
    let failed = app.stage == Stage::Failed;
    let action = if failed { None } else { Some(app.change) };
    let mut rows = vec![Row {
        kind: "app".to_owned(),
        name: name.to_string(),
        app: name,
        action,
        revision: Some(app.revision),
        effect: Some(word),
        fields: &[],
    }];
    if failed {
        return rows;
    }
    for (place, difference) in app.differences.iter().enumerate() {
        let effect = app.effects.as_ref().and_then(|effects| effects.get(place).cloned());
        rows.push(Row {
            kind: difference.kind.to_string(),
            name: difference.name.clone(),
            app: name,
            action: Some(difference.change),
            revision: None,
            effect,
            fields: &difference.fields,
        });
    }
    for (kind, other, owner, effect) in &app.others {
        let (kind, name, effect) = (kind.clone(), other.clone(), Some(effect.clone()));
        rows.push(Row { kind, name, app: owner, action: None, revision: None, effect, fields: &[] });
    }
    rows
}
