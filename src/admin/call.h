/* The admin calls: one table row each, with who may call it and the shapes of its request and reply.
 * A request is one JSON object {"call": NAME, ...}; a reply {"ok": true, ...} or
 * {"ok": false, "error": {"code", "reason", "message"}}. docs/admin.md lists them.
 *
 * Nothing here decides or does anything: src/vault implements the calls, the CLI makes them.
 * Threads: any. Source: docs/admin.md.
 */
#ifndef LH_ADMIN_CALL_H
#define LH_ADMIN_CALL_H

#include "admin/schema.h"

#define LH_ADMIN_DEPTH 8 /* objects and lists inside each other in a request */

enum lh_admin_who {
    LH_ADMIN_ANYONE, /* every local user; the handler may say less to those who are not admins */
    LH_ADMIN_ADMIN,  /* only those the daemon's configuration names as admins */
};

typedef struct {
    const char *name; /* "proposal.vote" */
    enum lh_admin_who who;
    const lh_admin_field *request; /* besides "call" */
    const lh_admin_field *reply;   /* besides "ok" */
} lh_admin_call;

/* The row of a name; NULL where there is none. */
const lh_admin_call *lh_admin_call_find(const char *name);
/* All rows, in the order of the documentation. */
const lh_admin_call *lh_admin_calls(size_t *ret_count);

/* Parse and check one request. Any bytes are safe to pass.
 * ret_call:    a row of the table (static).
 * ret_request: the whole object, "call" included; the caller drops it with json_decref.
 * Errors: LH_E_LIMIT "admin-size" (over LH_LIMIT_MESSAGE bytes) or "admin-depth"; LH_E_INVALID "admin-json"
 *         (not one JSON object in UTF-8, duplicate keys, a NUL in a string), "admin-call" (no call of that
 *         name) and what lh_admin_check says. */
LH_MUST lh_err lh_admin_parse(lh_bytes json, const lh_admin_call **ret_call, json_t **ret_request);

/* Append {"ok": true, ...fields}. fields_taken is consumed in any case (NULL: no fields).
 * Errors: LH_E_LIMIT where it does not fit out's ceiling; LH_E_NOMEM. */
LH_MUST lh_err lh_admin_reply_ok(json_t *fields_taken, lh_buf *out);

/* Append {"ok": false, "error": ...}. detail is borrowed; it may be lh_err_last().
 * Errors: LH_E_LIMIT, LH_E_NOMEM. */
LH_MUST lh_err lh_admin_reply_error(const lh_err_detail *detail, lh_buf *out);

/* The client's side: turn a reply's bytes into its fields, or raise the error it carries with its code,
 * reason and message.
 * call:      the row the reply belongs to; its shape is checked leniently.
 * ret_reply: the caller drops it with json_decref; untouched on error.
 * Errors: those of the reply; LH_E_PROTOCOL "admin-reply" where the bytes are no reply. */
LH_MUST lh_err lh_admin_parse_reply(lh_bytes json, const lh_admin_call *call, json_t **ret_reply);

/* json_decref for LH_AUTO. */
static inline void lh_json_freep(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

#endif
