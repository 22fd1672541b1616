-- Days are calendar days of the site's time zone, YYYY-MM-DD; times are RFC 3339 in UTC; face values are exact decimals as
-- text; points are whole.

create table users (
    user_id    text not null primary key,
    username   text not null unique,
    created_at text not null,
    banned_at  text
) strict;

create table sessions (
    session_id text not null primary key,
    user_id    text not null references users (user_id),
    device     text,
    created_at text not null,
    revoked_at text
) strict;

create index sessions_by_user on sessions (user_id);

create table check_ins (
    user_id    text    not null references users (user_id),
    day        text    not null check (day glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
    checked_at text    not null,
    made_up    integer not null default 0 check (made_up in (0, 1)),
    primary key (user_id, day)
) strict, without rowid;

create index check_ins_by_day on check_ins (day, checked_at);

create table points (
    entry      text    not null primary key,
    user_id    text    not null references users (user_id),
    amount     integer not null,
    reason     text    not null,
    entered_at text    not null
) strict;

create index points_by_user on points (user_id);

create table checkin_rewards (
    streak     integer not null primary key check (streak >= 1),
    points_min integer not null check (points_min >= 0),
    points_max integer not null check (points_max >= points_min),
    bonus      integer not null default 0 check (bonus >= 0),
    version    integer not null
) strict;

create table system_config (
    name       text    not null primary key,
    value      text    not null,
    version    integer not null,
    changed_at text    not null
) strict;

create table redeem_codes (
    code_hash  text not null primary key,
    face_value text not null,
    state      text not null default 'unissued' check (state in ('unissued', 'issued', 'redeemed', 'void', 'expired')),
    issued_to  text references users (user_id),
    expires_at text
) strict;

create index redeem_codes_by_face_value on redeem_codes (face_value, state);

-- Days that follow one another share the difference of the day and their place in the user's days.
create view streaks (user_id, first_day, last_day, days) as
select user_id, min(day), max(day), count(*)
from (
    select user_id, day, julianday(day) - row_number() over (partition by user_id order by day) as run
    from check_ins
)
group by user_id, run;

-- The streak that ended last; it is the current one while its last day is today or yesterday.
create view user_stats (user_id, total_check_ins, last_day, last_streak, longest_streak, points) as
select user_id, sum(days), max(last_day),
       (select last.days from streaks last where last.user_id = streaks.user_id order by last.last_day desc limit 1),
       max(days),
       (select coalesce(sum(amount), 0) from points where points.user_id = streaks.user_id)
from streaks
group by user_id;

-- The boards: check-ins of a day (scored by the milliseconds left of it, so that the earliest is first), of an ISO week and
-- of a month, and the longest streaks.
create view rankings (day, member, score) as
select day, user_id, cast(round((julianday(day) + 2 - julianday(checked_at)) * 86400000) as integer) from check_ins
union all
select strftime('%G-W%V', day), user_id, count(*) from check_ins group by 1, 2
union all
select strftime('%Y-%m', day), user_id, count(*) from check_ins group by 1, 2
union all
select 'streak', user_id, max(days) from streaks group by 2;

create view code_inventory (face_value, unissued) as
select face_value, count(*) filter (where state = 'unissued') from redeem_codes group by face_value;
