//! Projects: departments and purposes within a tenant, in a tree of at most eight levels.
//! Never moved and never deleted: usage and invoices name them.
//! Called by the command line and the operators' interface; usage and invoices ask for their paths.

use std::{
    collections::{HashMap, HashSet},
    str::FromStr as _,
};

use domain::{ProjectId, TenantId, Timestamp};
use uuid::Uuid;

use super::{
    Ledger, LedgerError, LimitScope, Limits, NO_PROJECT, Transaction, Value,
    limits::{self, LimitsByScope},
    raise_revision, sql,
    tenants::{self, check_short_name},
};

/// Levels of a tenant's tree. Companies nest divisions, departments and teams; eight leave room for more.
pub const PROJECT_DEPTH_MAX: u32 = 8;
/// Projects of one tenant: more than any chart of departments, few enough for a snapshot in memory.
pub const PROJECTS_MAX: usize = 1_000;
/// What stands between the names of a path.
const PATH_SEPARATOR: char = '/';

/// A department or purpose within a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// The id in usage records.
    pub id: ProjectId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The project it is part of. `None`: it is at the top.
    pub parent_id: Option<ProjectId>,
    /// Its name among those beside it.
    pub name: String,
    /// All names from the top to its own: `research/nlp`.
    pub path: String,
    /// Its level: 1 at the top.
    pub depth: u32,
    /// Limits over all its keys and all projects below, for all models together.
    pub limits: Limits,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was shut; keys of it and of projects below are refused from then on.
    pub disabled_at: Option<Timestamp>,
}

/// A project to create.
#[derive(Clone, Debug)]
pub struct NewProject<'a> {
    /// A short name that no project beside it has.
    pub name: &'a str,
    /// The project it is part of. `None`: it is at the top.
    pub parent_id: Option<ProjectId>,
    /// Limits over all its keys and all projects below.
    pub limits: Limits,
}

#[derive(sqlx::FromRow)]
struct ProjectRow {
    project_id: Uuid,
    tenant_id: Uuid,
    parent_id: Option<Uuid>,
    name: String,
    depth: i64,
    created_unix_us: i64,
    disabled_unix_us: Option<i64>,
}

impl Ledger {
    /// Creates a project.
    ///
    /// Errors: no such tenant or parent, a disabled one, a name that is taken or not allowed, a ninth level,
    /// more than [`PROJECTS_MAX`] projects, a limit of zero.
    pub async fn create_project(
        &self,
        tenant: TenantId,
        new: &NewProject<'_>,
        now: Timestamp,
    ) -> Result<Project, LedgerError> {
        check_short_name("project", new.name)?;
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        tenants::find_active(&mut transaction, tenant).await?;
        let all = of(&mut transaction, Some(tenant)).await?;
        if all.len() >= PROJECTS_MAX {
            return Err(LedgerError::TooMany { what: "projects", max: PROJECTS_MAX });
        }
        let project = place(new, &all, (tenant, now))?;
        let values = [
            Value::Id(project.id.as_uuid()),
            Value::Id(tenant.as_uuid()),
            Value::MaybeId(project.parent_id.map(|parent| parent.as_uuid())),
            Value::Text(&project.name),
            Value::Int(i64::from(project.depth)),
            Value::Int(now.unix_micros()),
        ];
        match transaction.execute(sql::INSERT_PROJECT, &values).await {
            Err(error) if error.is_taken() => {
                return Err(LedgerError::Taken { what: "project", name: project.path });
            }
            inserted => inserted?,
        };
        let scope = LimitScope::Project(project.id);
        limits::put(&mut transaction, tenant, (&scope, None), new.limits).await?;
        transaction.commit().await?;
        Ok(project)
    }

    /// The projects of a tenant, by path, disabled ones included.
    pub async fn projects(&self, tenant: TenantId) -> Result<Vec<Project>, LedgerError> {
        let mut transaction = self.pool.read().await?;
        of(&mut transaction, Some(tenant)).await
    }

    /// The project of a tenant with this path or this id.
    pub async fn find_project(
        &self,
        tenant: TenantId,
        path_or_id: &str,
    ) -> Result<Option<Project>, LedgerError> {
        let id = ProjectId::from_str(path_or_id).ok();
        let is_meant = |project: &Project| id.map_or(project.path == path_or_id, |id| project.id == id);
        Ok(self.projects(tenant).await?.into_iter().find(is_meant))
    }

    /// Shuts a project and all below it. Usage and invoices stay. Doing it twice keeps the first time.
    ///
    /// Errors: no such project.
    pub async fn disable_project(
        &self,
        tenant: TenantId,
        project: ProjectId,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.switch_project(tenant, project, Some(now)).await
    }

    /// Opens a project again. One below a shut one stays shut with it.
    ///
    /// Errors: no such project.
    pub async fn enable_project(&self, tenant: TenantId, project: ProjectId) -> Result<(), LedgerError> {
        self.switch_project(tenant, project, None).await
    }

    async fn switch_project(
        &self,
        tenant: TenantId,
        project: ProjectId,
        disabled_at: Option<Timestamp>,
    ) -> Result<(), LedgerError> {
        let mut transaction = self.pool.write().await?;
        raise_revision(&mut transaction).await?;
        let id = [Value::Id(tenant.as_uuid()), Value::Id(project.as_uuid())];
        let changed = match disabled_at {
            Some(at) => {
                let values = [id[0], id[1], Value::Int(at.unix_micros())];
                transaction.execute(sql::DISABLE_PROJECT, &values).await?
            }
            None => transaction.execute(sql::ENABLE_PROJECT, &id).await?,
        };
        if changed == 0 {
            return Err(missing(project));
        }
        transaction.commit().await
    }
}

/// The new project in its place, without what only SQL can refuse.
fn place(
    new: &NewProject<'_>,
    all: &[Project],
    (tenant_id, now): (TenantId, Timestamp),
) -> Result<Project, LedgerError> {
    let parent = match new.parent_id {
        None => None,
        Some(id) => Some(all.iter().find(|project| project.id == id).ok_or_else(|| missing(id))?),
    };
    if let Some(closed) = parent.and_then(|parent| closed(parent, all)) {
        return Err(LedgerError::Disabled { what: "project", name: closed.path.clone() });
    }
    let depth = parent.map_or(1, |parent| parent.depth + 1);
    if depth > PROJECT_DEPTH_MAX {
        return Err(LedgerError::ProjectTooDeep(PROJECT_DEPTH_MAX));
    }
    Ok(Project {
        id: ProjectId::generate(now),
        tenant_id,
        parent_id: new.parent_id,
        name: new.name.to_owned(),
        path: join(parent.map(|parent| parent.path.as_str()), new.name),
        depth,
        limits: new.limits,
        created_at: now,
        disabled_at: None,
    })
}

/// The first project that is shut, of this one and all above it.
pub(super) fn closed<'a>(project: &'a Project, all: &'a [Project]) -> Option<&'a Project> {
    let mut at = Some(project);
    while let Some(found) = at {
        if found.disabled_at.is_some() {
            return Some(found);
        }
        at = found.parent_id.and_then(|parent| all.iter().find(|project| project.id == parent));
    }
    None
}

fn join(parent: Option<&str>, name: &str) -> String {
    match parent {
        Some(parent) => format!("{parent}{PATH_SEPARATOR}{name}"),
        None => name.to_owned(),
    }
}

/// The project in a column that may not be empty, where the nil id stands for none.
pub(super) fn of_column(id: Uuid) -> Option<ProjectId> {
    (!id.is_nil()).then(|| ProjectId::from_uuid(id))
}

/// A project of this tenant, and all below it.
///
/// Errors: there is none.
pub(super) async fn with_those_below(
    transaction: &mut Transaction,
    tenant: TenantId,
    id: ProjectId,
) -> Result<HashSet<ProjectId>, LedgerError> {
    let all = of(transaction, Some(tenant)).await?;
    if !all.iter().any(|project| project.id == id) {
        return Err(missing(id));
    }
    let mut found = HashSet::from([id]);
    // By path, so a parent comes before what is below it.
    for project in &all {
        if project.parent_id.is_some_and(|parent| found.contains(&parent)) {
            found.insert(project.id);
        }
    }
    Ok(found)
}

/// The path of a project; its id when the ledger does not have it, as usage arrives all the same.
pub(crate) fn name_of(project: Option<ProjectId>, all: &[Project]) -> String {
    let Some(id) = project else { return NO_PROJECT.to_owned() };
    all.iter().find(|project| project.id == id).map_or_else(|| id.to_string(), |found| found.path.clone())
}

fn missing(project: ProjectId) -> LedgerError {
    LedgerError::Missing { what: "project", name: project.to_string() }
}

/// A project of this tenant.
///
/// Errors: there is none.
pub(super) async fn find_by_id(
    transaction: &mut Transaction,
    tenant: TenantId,
    id: ProjectId,
) -> Result<Project, LedgerError> {
    let all = of(transaction, Some(tenant)).await?;
    all.into_iter().find(|project| project.id == id).ok_or_else(|| missing(id))
}

/// The projects of one tenant, or of all, by tenant and path.
pub(crate) async fn of(
    transaction: &mut Transaction,
    tenant: Option<TenantId>,
) -> Result<Vec<Project>, LedgerError> {
    let limits = LimitsByScope::new(&limits::of(transaction, tenant).await?);
    // Parents come before their children, so that every path is made of one that is there.
    let rows: Vec<ProjectRow> = match tenant {
        Some(tenant) => transaction.rows(sql::PROJECTS_OF_TENANT, &[Value::Id(tenant.as_uuid())]).await?,
        None => transaction.rows(sql::PROJECTS, &[]).await?,
    };
    let mut paths: HashMap<Uuid, String> = HashMap::with_capacity(rows.len());
    let mut projects = Vec::with_capacity(rows.len());
    for row in rows {
        let parent = row.parent_id.and_then(|parent| paths.get(&parent)).map(String::as_str);
        let path = join(parent, &row.name);
        paths.insert(row.project_id, path.clone());
        let id = ProjectId::from_uuid(row.project_id);
        let depth = u32::try_from(row.depth);
        projects.push(Project {
            id,
            tenant_id: TenantId::from_uuid(row.tenant_id),
            parent_id: row.parent_id.map(ProjectId::from_uuid),
            name: row.name,
            path,
            depth: depth.map_err(|error| LedgerError::corrupt("depth", &error))?,
            limits: limits.of_project(id),
            created_at: Timestamp::from_unix_micros(row.created_unix_us),
            disabled_at: row.disabled_unix_us.map(Timestamp::from_unix_micros),
        });
    }
    projects.sort_by(|left, right| (left.tenant_id, &left.path).cmp(&(right.tenant_id, &right.path)));
    Ok(projects)
}
