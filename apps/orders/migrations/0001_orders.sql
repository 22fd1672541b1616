-- Money is exact decimals as text, times are RFC 3339 in UTC.

create table orders (
    order_no       text    not null primary key,
    uid            text    not null,
    period_number  text    not null,
    amount         text    not null,
    profit_amount  text    not null default '0.00',
    like_count     integer not null default 0 check (like_count >= 0),
    share_count    integer not null default 0 check (share_count >= 0),
    follow_count   integer not null default 0 check (follow_count >= 0),
    favorite_count integer not null default 0 check (favorite_count >= 0),
    status         text    not null default 'pending'
        check (status in ('pending', 'confirmed', 'completed', 'cancelled', 'expired')),
    expire_time    text    not null,
    created_at     text    not null,
    updated_at     text    not null
) strict;

create index orders_by_period on orders (period_number, order_no);
create index orders_by_user on orders (uid, period_number);
