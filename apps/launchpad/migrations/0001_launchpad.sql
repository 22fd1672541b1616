-- Money, token amounts and shares in percent are exact decimals as text; tags and blockchain are JSON lists as text; times
-- are Unix seconds.

create table project_cache (
    id                 text not null primary key,
    name               text not null,
    symbol             text not null,
    slug               text not null unique,
    description        text,
    tagline            text,
    current_price      text not null default '0',
    price_change_24h   text not null default '0',
    price_change_7d    text not null default '0',
    price_change_30d   text not null default '0',
    market_cap         text not null default '0',
    volume_24h         text not null default '0',
    circulating_supply text not null default '0',
    total_supply       text not null default '0',
    max_supply         text not null default '0',
    category           text not null default 'other',
    subcategory        text,
    tags               text not null default '[]' check (json_valid(tags)),
    blockchain         text not null default '[]' check (json_valid(blockchain)),
    logo_url           text,
    banner_url         text,
    website_url        text,
    twitter_url        text,
    telegram_url       text,
    github_url         text,
    status             text not null default 'live',
    market_cap_rank    integer,
    trending_rank      integer,
    launch_date        integer,
    listing_date       integer,
    created_at         integer not null default (unixepoch()),
    updated_at         integer not null default (unixepoch())
) strict;

create index idx_project_symbol on project_cache (symbol);
create index idx_project_category on project_cache (category);
create index idx_project_status on project_cache (status);
create index idx_project_market_cap_rank on project_cache (market_cap_rank);
create index idx_project_trending_rank on project_cache (trending_rank);
create index idx_project_updated_at on project_cache (updated_at);

create table prices (
    symbol             text not null check (symbol = upper(symbol)),
    currency           text not null check (currency = upper(currency)),
    price              text not null,
    change_24h         text,
    change_percent_24h text,
    volume_24h         text,
    market_cap         text,
    circulating_supply text,
    total_supply       text,
    rank               integer,
    last_update        integer not null,
    primary key (symbol, currency)
) strict, without rowid;

create table ido_pool_cache (
    id                   text    not null primary key,
    project_id           text    not null references project_cache (id),
    project_name         text    not null,
    project_symbol       text    not null,
    project_logo         text,
    pool_name            text    not null,
    pool_type            text    not null default 'public' check (pool_type in ('public', 'private', 'whitelist')),
    description          text,
    token_price          text    not null,
    total_tokens         text    not null,
    sold_tokens          text    not null default '0',
    progress_percentage  text    not null default '0',
    min_allocation       text    not null default '0',
    max_allocation       text,
    max_participants     integer check (max_participants >= 0),
    current_participants integer not null default 0 check (current_participants >= 0),
    registration_start   integer,
    registration_end     integer,
    sale_start           integer not null,
    sale_end             integer not null check (sale_end > sale_start),
    status               text    not null default 'upcoming'
        check (status in ('upcoming', 'registration', 'active', 'completed', 'cancelled')),
    blockchain           text    not null,
    contract_address     text,
    total_raised         text    not null default '0',
    participant_count    integer not null default 0 check (participant_count >= 0),
    created_at           integer not null default (unixepoch()),
    updated_at           integer not null default (unixepoch())
) strict;

create index idx_ido_project_id on ido_pool_cache (project_id);
create index idx_ido_status on ido_pool_cache (status);
create index idx_ido_sale_time on ido_pool_cache (sale_start, sale_end);
create index idx_ido_registration_time on ido_pool_cache (registration_start, registration_end);

create table user_investment_cache (
    id                text    not null primary key,
    user_id           text    not null,
    pool_id           text    not null references ido_pool_cache (id),
    project_name      text    not null,
    project_symbol    text    not null,
    investment_amount text    not null,
    token_amount      text    not null,
    token_price       text    not null,
    payment_token     text    not null default 'USDT',
    status            text    not null default 'pending' check (status in ('pending', 'confirmed', 'failed', 'refunded')),
    total_claimed     text    not null default '0',
    claimable_amount  text    not null default '0',
    next_claim_date   integer,
    transaction_hash  text,
    block_number      integer,
    invested_at       integer not null default (unixepoch()),
    confirmed_at      integer,
    updated_at        integer not null default (unixepoch())
) strict;

create index idx_investment_user_id on user_investment_cache (user_id);
create index idx_investment_pool_id on user_investment_cache (pool_id);
create index idx_investment_status on user_investment_cache (status);
create index idx_investment_user_status on user_investment_cache (user_id, status);
