-- Money is exact decimals of two places as text. Times are RFC 3339 in UTC with three places, so that their order is that of their text.

create table periods (
    period_number text not null primary key check (length(period_number) between 1 and 64),
    state         text not null default 'open'
        check (state in ('open', 'closed', 'drawn', 'settled', 'archived')),
    opened_at     text not null check (opened_at glob '????-??-??T??:??:??.???Z'),
    updated_at    text not null check (updated_at glob '????-??-??T??:??:??.???Z')
) strict, without rowid;

create table orders (
    order_no       text    not null primary key check (length(order_no) between 1 and 64),
    uid            text    not null check (length(uid) between 1 and 64),
    period_number  text    not null references periods (period_number),
    amount         text    not null check (amount glob '[0-9]*.[0-9][0-9]' and amount not glob '*[^0-9.]*' and length(amount) <= 13),
    profit_amount  text    not null default '0.00'
        check (ltrim(profit_amount, '-') glob '[0-9]*.[0-9][0-9]' and profit_amount not glob '*[^0-9.-]*'
            and length(profit_amount) <= 14),
    like_count     integer not null default 0 check (like_count >= 0),
    share_count    integer not null default 0 check (share_count >= 0),
    follow_count   integer not null default 0 check (follow_count >= 0),
    favorite_count integer not null default 0 check (favorite_count >= 0),
    status         text    not null default 'pending'
        check (status in ('pending', 'confirmed', 'completed', 'cancelled', 'expired')),
    expire_time    text    not null check (expire_time glob '????-??-??T??:??:??.???Z'),
    created_at     text    not null check (created_at glob '????-??-??T??:??:??.???Z'),
    updated_at     text    not null check (updated_at glob '????-??-??T??:??:??.???Z')
) strict, without rowid;

-- All of a period, and the sums of it without a look at the rows.
create index orders_by_period on orders (period_number, status, order_no, amount, profit_amount, expire_time);
create index orders_by_user on orders (period_number, uid, status, order_no, amount, profit_amount, expire_time);
create index orders_pending on orders (expire_time) where status = 'pending';

-- What a client's Idempotency-Key stood for.
create table idempotency (
    idempotency_key text not null primary key,
    request         text not null,
    order_no        text not null,
    created_at      text not null
) strict, without rowid;

create index idempotency_by_age on idempotency (created_at);
