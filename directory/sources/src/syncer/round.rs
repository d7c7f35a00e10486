//! One reading: what to ask, what to make of it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use posthouse_directory::{AccountId, Origin, SourceSpec, fresh_id};
use tokio::time::Instant;

use super::{Inner, Memory, SourceStatus, apply::Proposer};
use crate::{
    SourceError, Watermark,
    plan::{self, Mapping, Plan, Previous, Reading, Withheld},
    reader::{Entries, Reader},
};

/// After this time everything is read again, in case a change was missed.
const FULL_EVERY: Duration = Duration::from_hours(24);
/// Keys are listed no more often than this,
const LISTING_EVERY: Duration = Duration::from_secs(60);
/// and so that listing takes at most a twentieth of the time.
const LISTING_SHARE: u32 = 20;
/// Most warnings that are kept.
const MAX_WARNINGS: usize = 100;

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Full,
    Since { usn: u64, listing: bool },
    Nothing,
}

impl Inner {
    /// Reads and proposes. Nothing is proposed before all of it has been read.
    pub(super) async fn read(
        self: &Arc<Self>,
        spec: &SourceSpec,
        password: &str,
        memory: &mut Memory,
    ) -> Result<SourceStatus, SourceError> {
        let mut reader = Reader::open(spec, password, memory.controller.as_ref()).await?;
        memory.controller = Some(reader.controller.clone());
        let mut status = SourceStatus {
            controller: reader.controller.to_string(),
            withheld: memory.withheld,
            warnings: memory.warnings.clone(),
            ..SourceStatus::default()
        };
        let extent = extent(spec, &reader, memory);
        if extent == Extent::Nothing {
            return Ok(status);
        }
        status.full = extent == Extent::Full;
        let (mut reading, mut warnings) = gather(&mut reader, extent, memory).await?;
        let mapping = self.mapping(spec, &reader, memory);
        let mut plan = self.plan(&mapping, spec, &reading);
        if !status.full && !plan.new.is_empty() {
            let groups = reader.groups_of(&new_names(&plan)).await?;
            merge(&mut reading, groups);
            plan = self.plan(&mapping, spec, &reading);
        }
        warnings.append(&mut plan.warnings);
        warnings.truncate(MAX_WARNINGS);
        memory.withheld = plan.withheld;
        status.withheld = plan.withheld;
        status.problem = plan.withheld.map(question).unwrap_or_default();
        status.changed = plan.changed.len();
        status.disabled = plan.disables.len();
        if status.full {
            memory.warnings.clone_from(&warnings);
            status.warnings.clear();
        }
        status.warnings.append(&mut warnings);
        self.propose(spec, &mut reader, extent, plan, &status.problem).await?;
        if status.full {
            memory.last_full = Some(Instant::now());
        }
        memory.removals_confirmed = false;
        Ok(status)
    }

    async fn propose(
        self: &Arc<Self>,
        spec: &SourceSpec,
        reader: &mut Reader,
        extent: Extent,
        plan: Plan,
        problem: &str,
    ) -> Result<(), SourceError> {
        if !plan.disables.is_empty() {
            let count = plan.disables.len();
            tracing::warn!(target: "operation", source = spec.name, count, "accounts have left the directory");
        }
        let watermark = reader.facts.watermark.as_ref().map(Watermark::encode);
        let mut proposer = Proposer::new(&self.directory, spec);
        for account in plan.wanted.iter().filter(|a| plan.changed.contains(&a.id)) {
            proposer.upsert(account.clone()).await?;
        }
        for (id, cause) in plan.disables {
            proposer.disable(id, cause).await?;
        }
        proposer.flush().await?;
        let since = match extent {
            Extent::Since { usn, .. } => Some(usn),
            Extent::Full | Extent::Nothing => None,
        };
        proposer.photos(reader, since, &plan.wanted).await?;
        proposer.finish(watermark, problem.to_owned()).await
    }

    fn mapping(&self, spec: &SourceSpec, reader: &Reader, memory: &Memory) -> Mapping {
        let domains = self.directory.domains();
        let names = domains
            .iter()
            .flat_map(|d| std::iter::once(d.name.clone()).chain(d.aliases.iter().cloned()));
        Mapping {
            source: spec.id,
            domain: spec.domain,
            directory_domain: spec.directory_domain.clone(),
            netbios: reader.facts.netbios.clone(),
            mail_domains: names.collect(),
            store: None,
            removal_threshold_percent: spec.removal_threshold_percent,
            removals_confirmed: memory.removals_confirmed,
            now: self.directory.environment().clock.now(),
        }
    }

    fn plan(&self, mapping: &Mapping, spec: &SourceSpec, reading: &Reading) -> Plan {
        let previous = Previous {
            accounts: self.directory.accounts_of(spec.id),
            collided: self.directory.collisions().into_iter().map(|c| c.account).collect(),
        };
        plan::plan(mapping, &previous, reading, &mut || AccountId(fresh_id()))
    }
}

/// How much has to be read.
fn extent(spec: &SourceSpec, reader: &Reader, memory: &mut Memory) -> Extent {
    let stored = spec.watermark.as_deref().and_then(Watermark::decode);
    let (Some(stored), Some(now)) = (stored, reader.facts.watermark.as_ref()) else {
        return Extent::Full;
    };
    let goes_on =
        stored.invocation == now.invocation && stored.scope == now.scope && stored.usn <= now.usn;
    let last_full = *memory.last_full.get_or_insert_with(Instant::now);
    if !goes_on || last_full.elapsed() > FULL_EVERY {
        return Extent::Full;
    }
    let pause = LISTING_EVERY.max(memory.listing_took * LISTING_SHARE);
    let listing = memory.last_listing.is_none_or(|last| last.elapsed() >= pause);
    let asked = memory.withheld.is_some() || memory.removals_confirmed;
    if stored.usn == now.usn && !asked && memory.last_listing.is_some() {
        return Extent::Nothing;
    }
    Extent::Since { usn: stored.usn, listing: listing || asked }
}

async fn gather(
    reader: &mut Reader,
    extent: Extent,
    memory: &mut Memory,
) -> Result<(Reading, Vec<String>), SourceError> {
    let mut reading = Reading::default();
    let entries = match extent {
        Extent::Since { usn, .. } => {
            reading.deleted = reader.deleted(usn).await?;
            reader.changed(usn).await?
        }
        Extent::Full | Extent::Nothing => reader.all().await?,
    };
    match extent {
        Extent::Since { listing: false, .. } => {}
        Extent::Since { .. } => {
            let started = Instant::now();
            reading.present = Some(reader.keys().await?);
            memory.listing_took = started.elapsed();
            memory.last_listing = Some(Instant::now());
        }
        Extent::Full | Extent::Nothing => {
            reading.present = Some(entries.mapped.iter().map(|e| e.key.clone()).collect());
            memory.last_listing = Some(Instant::now());
        }
    }
    reading.entries = entries.mapped;
    Ok((reading, entries.warnings))
}

fn new_names(plan: &Plan) -> Vec<&str> {
    plan.wanted
        .iter()
        .filter(|account| plan.new.contains(&account.id))
        .filter_map(|account| match &account.origin {
            Origin::Mapped { dn, .. } => Some(dn.as_str()),
            Origin::Local => None,
        })
        .collect()
}

fn merge(reading: &mut Reading, groups: Entries) {
    let have: HashSet<Vec<u8>> = reading.entries.iter().map(|e| e.key.clone()).collect();
    reading.entries.extend(groups.mapped.into_iter().filter(|e| !have.contains(&e.key)));
}

fn question(withheld: Withheld) -> String {
    format!(
        "{} of {} accounts are missing in the directory. Nobody was disabled. If they have really left, confirm it; \
         if not, check the base, the filter and the rights of the account for reading.",
        withheld.missing, withheld.of
    )
}
