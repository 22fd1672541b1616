-- What belongs in the relational store. Prices and amounts of money are exact decimals as text, raw (unadjusted); days are
-- YYYY-MM-DD; times are RFC 3339 in UTC; symbols are written `600000.SH`.

create table symbols_info (
    symbol      text not null primary key check (symbol = code || '.' || exchange),
    exchange    text not null check (exchange in ('SH', 'SZ', 'BJ')),
    code        text not null check (code glob '[0-9][0-9][0-9][0-9][0-9][0-9]'),
    name        text not null,
    pinyin      text,
    kind        text not null check (kind in ('stock', 'index', 'fund', 'bond')),
    listed_on   text,
    delisted_on text
) strict;

create index symbols_info_by_code on symbols_info (code);
create index symbols_info_by_pinyin on symbols_info (pinyin);

create table daily_kline (
    symbol    text    not null references symbols_info (symbol),
    day       text    not null,
    open      text    not null,
    high      text    not null,
    low       text    not null,
    close     text    not null,
    pre_close text    not null,
    volume    integer not null check (volume >= 0),
    amount    text    not null,
    primary key (symbol, day)
) strict, without rowid;

-- An indicator is no money: its values are binary floating point.
create table technical_indicators (
    symbol    text not null references symbols_info (symbol),
    indicator text not null,
    day       text not null,
    value     real,
    signal    real,
    upper     real,
    lower     real,
    primary key (symbol, indicator, day)
) strict, without rowid;

create table market_data (
    symbol    text not null references symbols_info (symbol),
    data_type text not null,
    content   text not null check (json_valid(content)),
    as_of     text not null,
    primary key (symbol, data_type)
) strict, without rowid;

create table trading_orders (
    order_id      text    not null primary key,
    account       text    not null,
    symbol        text    not null references symbols_info (symbol),
    side          text    not null check (side in ('buy', 'sell')),
    price         text    not null,
    quantity      integer not null check (quantity > 0),
    filled        integer not null default 0 check (filled between 0 and quantity),
    average_price text,
    status        text    not null default 'new'
        check (status in ('new', 'partly_filled', 'filled', 'cancelled', 'rejected')),
    created_at    text    not null,
    updated_at    text    not null
) strict;

create index trading_orders_by_account on trading_orders (account, created_at);
