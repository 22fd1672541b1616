-- Prices are exact decimals of two places as text (daily bars have three), volumes are shares, times are RFC 3339 in UTC.
-- An instrument is known by its market and code. A code is unique among stocks and among indices; a stock and an index may share one.

create table instruments (
    market     text collate "C" not null check (market in ('SH', 'SZ')),
    code       text collate "C" not null check (code ~ '^[0-9]{6}$'),
    name       text collate "C" not null,
    kind       text collate "C" not null check (kind in ('a_share', 'chinext', 'star', 'index')),
    -- The first day of trading, where it is known.
    listed_on  text collate "C" check (listed_on ~ '^\d{4}-\d\d-\d\d$'),
    provenance text collate "C" not null check (provenance in ('recorded', 'generated', 'ingested')),
    primary key (market, code)
);

-- What is shown of a share. `day` and `previous_close` are what the next update is judged by; `source_us` and `sequence` are those of the update
-- that is shown, and -1 and 0 where the day has none yet.
create table quotes (
    market         text collate "C" not null check (market in ('SH', 'SZ')),
    code           text collate "C" not null unique,
    name           text collate "C" not null,
    status         text collate "C" not null check (status in ('trading', 'suspended', 'not_traded')),
    price          text collate "C" check ((price is not null) = (status = 'trading')),
    change         text collate "C" check ((change is not null) = (status = 'trading')),
    change_pct     text collate "C" check ((change_pct is not null) = (status = 'trading')),
    volume         bigint not null check (volume >= 0),
    timestamp      text collate "C" not null,
    day            text collate "C" not null check (day ~ '^\d{4}-\d\d-\d\d$'),
    previous_close text collate "C" not null,
    source_us      bigint not null,
    sequence       bigint not null,
    provenance     text collate "C" not null check (provenance in ('recorded', 'generated', 'ingested')),
    primary key (market, code)
);

create table indices (
    market         text collate "C" not null check (market in ('SH', 'SZ')),
    code           text collate "C" not null unique,
    name           text collate "C" not null,
    status         text collate "C" not null check (status in ('trading', 'suspended', 'not_traded')),
    price          text collate "C" check ((price is not null) = (status = 'trading')),
    change         text collate "C" check ((change is not null) = (status = 'trading')),
    change_pct     text collate "C" check ((change_pct is not null) = (status = 'trading')),
    volume         bigint not null check (volume >= 0),
    timestamp      text collate "C" not null,
    day            text collate "C" not null check (day ~ '^\d{4}-\d\d-\d\d$'),
    previous_close text collate "C" not null,
    source_us      bigint not null,
    sequence       bigint not null,
    provenance     text collate "C" not null check (provenance in ('recorded', 'generated', 'ingested')),
    primary key (market, code)
);

-- Updates that were not believed, the newest of them.
create table refused_quotes (
    id          bigint generated always as identity primary key,
    market      text collate "C" not null,
    code        text collate "C" not null,
    timestamp   text collate "C" not null,
    sequence    bigint not null,
    price       text collate "C",
    reason      text collate "C" not null,
    detail      text collate "C" not null,
    received_at text collate "C" not null
);

create table bars (
    market     text collate "C" not null check (market in ('SH', 'SZ')),
    code       text collate "C" not null,
    minute     text collate "C" not null,
    price      text collate "C" not null,
    volume     bigint not null check (volume >= 0),
    provenance text collate "C" not null check (provenance in ('recorded', 'generated')),
    primary key (market, code, minute)
);

create table daily_bars (
    market     text collate "C" not null check (market in ('SH', 'SZ')),
    code       text collate "C" not null,
    day        text collate "C" not null,
    open       text collate "C" not null,
    high       text collate "C" not null,
    low        text collate "C" not null,
    close      text collate "C" not null,
    volume     bigint not null check (volume >= 0),
    amount     bigint not null check (amount >= 0),
    provenance text collate "C" not null check (provenance in ('recorded', 'generated')),
    primary key (market, code, day)
);

-- Which parts of the sample data are loaded whole.
create table sample_parts (
    part text collate "C" not null primary key,
    rows bigint not null
);

-- When the market opens next, while it is closed.
create table market_hours (
    market   text collate "C" not null primary key check (market in ('SH', 'SZ')),
    opens_at text collate "C" check (opens_at ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$')
);

-- Who may log in, and what they may do: a JSON array of texts.
create table users (
    user_id     text collate "C" not null primary key check (length(user_id) between 1 and 64),
    username    text collate "C" not null,
    permissions text collate "C" not null check (permissions like '[%]')
);
