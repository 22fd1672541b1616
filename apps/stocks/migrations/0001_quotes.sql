-- Prices are exact decimals as text, volumes are shares, times are RFC 3339 in UTC.
-- A code is unique among stocks and among indices, but a stock and an index may share one.

create table instruments (
    market     text not null check (market in ('SH', 'SZ')),
    code       text not null,
    name       text not null,
    kind       text not null check (kind in ('a_share', 'chinext', 'index')),
    provenance text not null check (provenance in ('recorded', 'generated')),
    primary key (market, code)
) strict, without rowid;

create table quotes (
    market     text    not null check (market in ('SH', 'SZ')),
    code       text    not null unique,
    name       text    not null,
    price      text    not null,
    change     text    not null,
    change_pct text    not null,
    volume     integer not null check (volume >= 0),
    timestamp  text    not null,
    provenance text    not null check (provenance in ('recorded', 'generated')),
    primary key (market, code)
) strict, without rowid;

create table indices (
    market     text    not null check (market in ('SH', 'SZ')),
    code       text    not null unique,
    name       text    not null,
    price      text    not null,
    change     text    not null,
    change_pct text    not null,
    timestamp  text    not null,
    provenance text    not null check (provenance in ('recorded', 'generated')),
    primary key (market, code)
) strict, without rowid;

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
