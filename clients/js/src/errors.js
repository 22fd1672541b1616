/** What went wrong, as data. Messages are for people; programs go by `code`. */

/** Problems whose request was not begun: nothing was written, whoever asked. */
const NOTHING_DONE = new Set(["no_place", "bodies_full", "queue_full", "store_failed"]);

/** What the network says where a request never left. */
const NEVER_SENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN"]);

/** A request that was not answered as asked. */
export class ForebayError extends Error {
  /**
   * @param {string} message
   * @param {{code: string, status?: number, retryAfterMs?: number, requestId?: string, cause?: unknown}} what
   */
  constructor(message, { code, status, retryAfterMs, requestId, cause }) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "ForebayError";
    /** Stable, for programs: the server's own, or `timeout`, `unreachable`, `bad_answer`. */
    this.code = code;
    /** The status of the answer; `undefined` where there was none. */
    this.status = status;
    /** How long the server asks to wait before the same request is sent again, where that can succeed. */
    this.retryAfterMs = retryAfterMs;
    /** By which the server's log has the request. */
    this.requestId = requestId;
  }

  /** Whether it is certain that the request changed nothing. */
  get nothingDone() {
    return NOTHING_DONE.has(this.code) || (this.code === "unreachable" && NEVER_SENT.has(causeCode(this.cause)));
  }

  /** Whether the same request can succeed later. */
  get mayRetry() {
    return this.retryAfterMs !== undefined || this.code === "unreachable" || this.code === "timeout";
  }
}

/** The system's name of what broke a connection, which Node puts one cause deeper, and where several addresses failed in a list. */
function causeCode(cause) {
  const inner = cause?.cause ?? cause;
  return inner?.code ?? inner?.errors?.[0]?.code;
}

/** The server did not answer in time. Whether it did what it was asked for is not known. */
export function timeout(ms) {
  return new ForebayError(`no answer within ${ms} ms`, { code: "timeout" });
}

/** No answer came at all. */
export function unreachable(cause) {
  const why = causeCode(cause) ?? cause?.message ?? String(cause);
  return new ForebayError(`the server cannot be reached: ${why}`, { code: "unreachable", cause });
}

/** What came was no answer of Forebay's. */
export function badAnswer(what, cause) {
  return new ForebayError(`the answer is none of Forebay's: ${what}`, { code: "bad_answer", cause });
}

/**
 * The error of a response that is none of success: a problem (RFC 9457), or whatever a proxy between says.
 *
 * @param {Response} response
 */
export async function problem(response) {
  const text = await response.text();
  const told = /^application\/problem\+json\b/.test(response.headers.get("content-type") ?? "") ? parsed(text) : undefined;
  const detail = told?.detail ?? (text.trim().slice(0, 200) || response.statusText || "no reason was given");
  const seconds = Number(response.headers.get("retry-after") ?? NaN);
  return new ForebayError(detail, {
    code: told?.code ?? `http_${response.status}`,
    status: response.status,
    retryAfterMs: Number.isFinite(seconds) ? seconds * 1_000 : undefined,
    requestId: told?.request_id ?? response.headers.get("x-request-id") ?? undefined,
  });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
