-- Prices are exact decimals of two places as text (daily bars have three), volumes are shares, times are RFC 3339 in UTC.
-- An instrument is known by its market and code. A code is unique among stocks and among indices; a stock and an index may share one.

create table instruments (
    market     text not null check (market in ('SH', 'SZ')),
    code       text not null check (code glob '[0-9][0-9][0-9][0-9][0-9][0-9]'),
    name       text not null,
    kind       text not null check (kind in ('a_share', 'chinext', 'star', 'index')),
    -- The first day of trading, where it is known.
    listed_on  text check (listed_on glob '????-??-??'),
    provenance text not null check (provenance in ('recorded', 'generated', 'ingested')),
    primary key (market, code)
) strict, without rowid;

-- What is shown of a share. `day` and `previous_close` are what the next update is judged by; `source_us` and `sequence` are those of the update
-- that is shown, and -1 and 0 where the day has none yet.
create table quotes (
    market         text    not null check (market in ('SH', 'SZ')),
    code           text    not null unique,
    name           text    not null,
    status         text    not null check (status in ('trading', 'suspended', 'not_traded')),
    price          text    check ((price is not null) = (status = 'trading')),
    change         text    check ((change is not null) = (status = 'trading')),
    change_pct     text    check ((change_pct is not null) = (status = 'trading')),
    volume         integer not null check (volume >= 0),
    timestamp      text    not null,
    day            text    not null check (day glob '????-??-??'),
    previous_close text    not null,
    source_us      integer not null,
    sequence       integer not null,
    provenance     text    not null check (provenance in ('recorded', 'generated', 'ingested')),
    primary key (market, code)
) strict, without rowid;

create table indices (
    market         text    not null check (market in ('SH', 'SZ')),
    code           text    not null unique,
    name           text    not null,
    status         text    not null check (status in ('trading', 'suspended', 'not_traded')),
    price          text    check ((price is not null) = (status = 'trading')),
    change         text    check ((change is not null) = (status = 'trading')),
    change_pct     text    check ((change_pct is not null) = (status = 'trading')),
    volume         integer not null check (volume >= 0),
    timestamp      text    not null,
    day            text    not null check (day glob '????-??-??'),
    previous_close text    not null,
    source_us      integer not null,
    sequence       integer not null,
    provenance     text    not null check (provenance in ('recorded', 'generated', 'ingested')),
    primary key (market, code)
) strict, without rowid;

-- Updates that were not believed, the newest of them.
create table refused_quotes (
    id          integer primary key autoincrement,
    market      text    not null,
    code        text    not null,
    timestamp   text    not null,
    sequence    integer not null,
    price       text,
    reason      text    not null,
    detail      text    not null,
    received_at text    not null
) strict;

create table bars (
    market     text    not null check (market in ('SH', 'SZ')),
    code       text    not null,
    minute     text    not null,
    price      text    not null,
    volume     integer not null check (volume >= 0),
    provenance text    not null check (provenance in ('recorded', 'generated')),
    primary key (market, code, minute)
) strict, without rowid;

create table daily_bars (
    market     text    not null check (market in ('SH', 'SZ')),
    code       text    not null,
    day        text    not null,
    open       text    not null,
    high       text    not null,
    low        text    not null,
    close      text    not null,
    volume     integer not null check (volume >= 0),
    amount     integer not null check (amount >= 0),
    provenance text    not null check (provenance in ('recorded', 'generated')),
    primary key (market, code, day)
) strict, without rowid;

-- Which parts of the sample data are loaded whole.
create table sample_parts (
    part text    not null primary key,
    rows integer not null
) strict, without rowid;

-- When the market opens next, while it is closed.
create table market_hours (
    market   text not null primary key check (market in ('SH', 'SZ')),
    opens_at text check (opens_at glob '????-??-??T??:??:??.???Z')
) strict, without rowid;

-- Who may log in, and what they may do: a JSON array of texts.
create table users (
    user_id     text not null primary key check (length(user_id) between 1 and 64),
    username    text not null,
    permissions text not null check (json_valid(permissions))
) strict, without rowid;
