-- Money is exact decimals of two places as text. Times are RFC 3339 in UTC with three places, so that their order is that of their text.

create table periods (
    period_number text collate "C" not null primary key check (length(period_number) between 1 and 64),
    state         text collate "C" not null default 'open'
        check (state in ('open', 'closed', 'drawn', 'settled', 'archived')),
    opened_at     text collate "C" not null check (opened_at ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$'),
    updated_at    text collate "C" not null check (updated_at ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$')
);

create table orders (
    order_no       text collate "C" not null primary key check (length(order_no) between 1 and 64),
    uid            text collate "C" not null check (length(uid) between 1 and 64),
    period_number  text collate "C" not null references periods (period_number),
    amount         text collate "C" not null check (amount ~ '^\d{1,10}\.\d\d$'),
    profit_amount  text collate "C" not null default '0.00'
        check (profit_amount ~ '^-?\d{1,10}\.\d\d$'),
    like_count     bigint not null default 0 check (like_count >= 0),
    share_count    bigint not null default 0 check (share_count >= 0),
    follow_count   bigint not null default 0 check (follow_count >= 0),
    favorite_count bigint not null default 0 check (favorite_count >= 0),
    status         text collate "C" not null default 'pending'
        check (status in ('pending', 'confirmed', 'completed', 'cancelled', 'expired')),
    expire_time    text collate "C" not null check (expire_time ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$'),
    created_at     text collate "C" not null check (created_at ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$'),
    updated_at     text collate "C" not null check (updated_at ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$')
);

-- All of a period, and the sums of it without a look at the rows.
create index orders_by_period on orders (period_number, status, order_no, amount, profit_amount, expire_time);
create index orders_by_user on orders (period_number, uid, status, order_no, amount, profit_amount, expire_time);
create index orders_pending on orders (expire_time) where status = 'pending';

-- What a client's Idempotency-Key stood for.
create table idempotency (
    idempotency_key text collate "C" not null primary key,
    request         text collate "C" not null,
    order_no        text collate "C" not null,
    created_at      text collate "C" not null
);

create index idempotency_by_age on idempotency (created_at);
