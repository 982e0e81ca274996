//! The tables, and how a database of an earlier version becomes one of this.

/// `PRAGMA application_id`: "STKD".
pub(super) const APPLICATION: i64 = 0x5354_4b44;

/// The step at index N takes version N to N + 1; `PRAGMA user_version` says which a database has. A step that was
/// released is never changed.
///
/// `seq` is the order in which records were written, over all tables; what is deleted first is lowest. `boot` and
/// `since_boot` put events in order whatever the wall clock does.
pub(super) const MIGRATIONS: &[&str] = &["
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE boots (boot INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE);

    CREATE TABLE alerts (
        seq INTEGER PRIMARY KEY, boot INTEGER NOT NULL, since_boot INTEGER NOT NULL, time INTEGER NOT NULL,
        id INTEGER NOT NULL, severity INTEGER NOT NULL, technique TEXT, rule TEXT,
        container_id TEXT, container_name TEXT, body TEXT NOT NULL
    );
    CREATE INDEX alerts_order ON alerts (boot, since_boot, seq);
    CREATE INDEX alerts_time ON alerts (time);
    CREATE INDEX alerts_id ON alerts (id);
    CREATE INDEX alerts_severity ON alerts (severity, boot, since_boot, seq);
    CREATE INDEX alerts_technique ON alerts (technique, boot, since_boot, seq) WHERE technique IS NOT NULL;
    CREATE INDEX alerts_rule ON alerts (rule, boot, since_boot, seq) WHERE rule IS NOT NULL;
    CREATE INDEX alerts_container_id ON alerts (container_id) WHERE container_id IS NOT NULL;
    CREATE INDEX alerts_container_name ON alerts (container_name) WHERE container_name IS NOT NULL;

    CREATE TABLE trail (
        seq INTEGER PRIMARY KEY, boot INTEGER NOT NULL, since_boot INTEGER NOT NULL, time INTEGER NOT NULL,
        container_id TEXT, container_name TEXT, body TEXT NOT NULL
    );
    CREATE INDEX trail_order ON trail (boot, since_boot, seq);
    CREATE INDEX trail_time ON trail (time);
    CREATE INDEX trail_container_id ON trail (container_id) WHERE container_id IS NOT NULL;
    CREATE INDEX trail_container_name ON trail (container_name) WHERE container_name IS NOT NULL;

    CREATE TABLE blind (
        seq INTEGER PRIMARY KEY, boot INTEGER NOT NULL, since_boot INTEGER NOT NULL, time INTEGER NOT NULL,
        container_id TEXT, container_name TEXT, body TEXT NOT NULL
    );
    CREATE INDEX blind_order ON blind (boot, since_boot, seq);
    CREATE INDEX blind_time ON blind (time);

    CREATE TABLE losses (
        seq INTEGER PRIMARY KEY, boot INTEGER NOT NULL, since_boot INTEGER NOT NULL, time INTEGER NOT NULL,
        container_id TEXT, container_name TEXT, body TEXT NOT NULL
    );
    CREATE INDEX losses_order ON losses (boot, since_boot, seq);
    CREATE INDEX losses_time ON losses (time);

    CREATE TABLE heartbeats (
        seq INTEGER PRIMARY KEY, boot INTEGER NOT NULL, since_boot INTEGER NOT NULL, time INTEGER NOT NULL,
        container_id TEXT, container_name TEXT, body TEXT NOT NULL
    );
    CREATE INDEX heartbeats_order ON heartbeats (boot, since_boot, seq);
    CREATE INDEX heartbeats_time ON heartbeats (time);

    CREATE TABLE containers (
        seq INTEGER PRIMARY KEY, boot INTEGER NOT NULL, since_boot INTEGER NOT NULL, time INTEGER NOT NULL,
        container_id TEXT, container_name TEXT, body TEXT NOT NULL, key INTEGER NOT NULL,
        UNIQUE (boot, key)
    );
    CREATE INDEX containers_order ON containers (boot, since_boot, seq);
    CREATE INDEX containers_time ON containers (time);
    CREATE INDEX containers_id ON containers (container_id) WHERE container_id IS NOT NULL;
    CREATE INDEX containers_name ON containers (container_name) WHERE container_name IS NOT NULL;
"];
