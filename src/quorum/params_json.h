/* JSON parameters of operations: one object without escapes, with known members only. */
#ifndef LH_QUORUM_PARAMS_JSON_H
#define LH_QUORUM_PARAMS_JSON_H

#include "quorum/operation.h"

#include <jansson.h>

/* For LH_AUTO. */
void lh_params_free_json(json_t **json);

/* LH_E_INVALID "params": what was expected. */
LH_MUST lh_err lh_params_expected(const char *what);
/* The caller drops *ret. LH_E_INVALID "params", "params-escape". */
LH_MUST lh_err lh_params_object(lh_bytes bytes, json_t **ret);
/* Refuse members that the operation does not have. names ends with NULL. LH_E_INVALID "params". */
LH_MUST lh_err lh_params_members(json_t *object, const char *const *names);
/* A member's text, not empty, into out (size bytes); *ret_found tells whether there is one. */
LH_MUST lh_err lh_params_text(json_t *object, const char *key, char *out, size_t size, bool *ret_found);
/* A member of 2 * size lower-case hex digits into out. */
LH_MUST lh_err lh_params_hex(json_t *object, const char *key, uint8_t *out, size_t size, bool *ret_found);
/* An id of LH_GOVERNED_ID_SIZE bytes. */
LH_MUST lh_err lh_params_id(
    json_t *object, const char *key, uint8_t out[LH_GOVERNED_ID_SIZE], bool *ret_found);
/* Decode base64 that stands as one text, or as a list of texts that are put together (lines of what is signed
 * are limited). out: empty; its ceiling is the most that is taken. what: "a certificate".
 * LH_E_INVALID "params", "base64"; LH_E_LIMIT with reason too_long. */
LH_MUST lh_err lh_params_base64(const json_t *value, const char *what, const char *too_long, lh_buf *out);

#endif
