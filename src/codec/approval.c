#include "codec/approval.h"

#include "base/clock.h"
#include "codec/sshsig.h"
#include "codec/utf8.h"

#include <inttypes.h>

#define PARAMETER_PREFIX "  | "
#define NO_NEWLINE_LINE "  \\ no newline at end\n"

static const char *const VERBS[] = {
    [LH_VERB_APPROVE] = "approve",
    [LH_VERB_DENY] = "deny",
    [LH_VERB_WITHDRAW] = "withdraw",
};

static void free_buf(lh_buf *buf)
{
    lh_buf_free(buf);
}

const char *lh_verb_name(enum lh_verb verb)
{
    return (size_t)verb < LH_ARRAY_LEN(VERBS) ? VERBS[verb] : NULL;
}

lh_err lh_verb_parse(const char *name, enum lh_verb *ret)
{
    for (size_t i = LH_VERB_APPROVE; i < LH_ARRAY_LEN(VERBS); i++)
        if (strcmp(name, VERBS[i]) == 0) {
            *ret = (enum lh_verb)i;
            return LH_SUCCESS;
        }
    return LH_REFUSE(LH_E_INVALID, "approval-verb", "the verb is none of approve, deny and withdraw");
}

lh_err lh_text_check_value(const char *what, lh_bytes value, size_t max)
{
    if (value.len > max)
        return LH_REFUSE(LH_E_LIMIT, "text-line-length", "%s is longer than %zu bytes", what, max);
    while (value.len > 0) {
        uint32_t code = 0;
        size_t n = lh_utf8_next(value, &code);
        if (n == 0)
            return LH_REFUSE(LH_E_INVALID, "text-utf8", "%s is not valid UTF-8", what);
        enum lh_rune rune = lh_utf8_rune(code);
        if (rune == LH_RUNE_LINE_BREAK)
            return LH_REFUSE(LH_E_INVALID, "text-line-break", "%s has a line break (U+%04X)", what, code);
        if (rune == LH_RUNE_CONTROL)
            return LH_REFUSE(
                LH_E_INVALID, "text-control-character", "%s has a control character (U+%04X)", what, code);
        value = LH_BYTES(value.data + n, value.len - n);
    }
    return LH_SUCCESS;
}

lh_err lh_text_check_parameters(lh_bytes parameters)
{
    if (!lh_utf8_valid(parameters))
        return LH_REFUSE(LH_E_INVALID, "text-utf8", "the parameters are not valid UTF-8");
    if (parameters.len > 0 && memchr(parameters.data, 0, parameters.len))
        return LH_REFUSE(LH_E_INVALID, "text-control-character", "the parameters have a NUL character");
    return LH_SUCCESS;
}

void lh_text_escape(lh_bytes value, lh_buf *out)
{
    while (value.len > 0) {
        uint32_t code = 0;
        size_t n = lh_utf8_next(value, &code);
        if (n == 0) { /* not UTF-8: the caller has checked that */
            out->status = LH_E_INVALID;
            return;
        }
        if (code == '\\')
            lh_buf_append_str(out, "\\\\");
        else if (lh_utf8_rune(code) != LH_RUNE_VISIBLE || (code == ' ' && n == value.len))
            lh_buf_printf(out, "\\u{%" PRIx32 "}", code);
        else
            lh_buf_append(out, value.data, n);
        value = LH_BYTES(value.data + n, value.len - n);
    }
}

/* "key: value", the value checked and escaped. */
static lh_err put_value(lh_buf *out, const char *key, const char *value)
{
    size_t before = out->len;
    LH_TRY(lh_text_check_value(key, LH_BYTES_STR(value), LH_LIMIT_TEXT_LINE));
    lh_buf_printf(out, "%s: ", key);
    lh_text_escape(LH_BYTES_STR(value), out);
    if (out->len - before > LH_LIMIT_TEXT_LINE)
        return LH_REFUSE(LH_E_LIMIT, "text-line-length", "the line %s would be longer than %d bytes", key,
            LH_LIMIT_TEXT_LINE);
    lh_buf_append(out, "\n", 1);
    return LH_SUCCESS;
}

static void put_hex(lh_buf *out, const char *key, const uint8_t *data, size_t len)
{
    char hex[2 * 32 + 1];
    lh_hex(data, len, hex);
    lh_buf_printf(out, "%s: %s\n", key, hex);
}

static void put_time(lh_buf *out, const char *key, int64_t wall)
{
    char text[LH_TIME_TEXT_SIZE];
    lh_time_format(wall, text);
    lh_buf_printf(out, "%s: %s\n", key, text);
}

/* The parameters line by line. A last line that no LF ends is told from one that has it. */
static lh_err put_parameters(lh_buf *out, lh_bytes parameters)
{
    LH_TRY(lh_text_check_parameters(parameters));
    lh_buf_append_str(out, "parameters:\n");
    bool ended = false;
    for (size_t number = 1; parameters.len > 0; number++) {
        const uint8_t *lf = memchr(parameters.data, '\n', parameters.len);
        size_t len = lf ? (size_t)(lf - parameters.data) : parameters.len;
        size_t before = out->len;
        ended = lf != NULL;
        lh_buf_append_str(out, PARAMETER_PREFIX);
        lh_text_escape(LH_BYTES(parameters.data, len), out);
        if (out->len - before > LH_LIMIT_TEXT_LINE)
            return LH_REFUSE(LH_E_LIMIT, "text-line-length",
                "line %zu of the parameters would be longer than %d bytes", number, LH_LIMIT_TEXT_LINE);
        lh_buf_append(out, "\n", 1);
        len += ended ? 1 : 0;
        parameters = LH_BYTES(parameters.data + len, parameters.len - len);
    }
    if (!ended)
        lh_buf_append_str(out, NO_NEWLINE_LINE);
    return LH_SUCCESS;
}

/* Hand a finished text on; a buffer that was too small for it names the limit. */
static lh_err deliver(const lh_buf *text, lh_buf *out)
{
    if (text->status == LH_E_LIMIT)
        return LH_REFUSE(LH_E_LIMIT, "text-length", "the text to sign would be longer than %d bytes",
            LH_LIMIT_APPROVAL_TEXT);
    LH_TRY(lh_buf_status(text));
    size_t before = out->len;
    lh_buf_append(out, text->data, text->len);
    lh_err err = lh_buf_status(out);
    if (!lh_ok(err))
        out->len = before;
    return err;
}

lh_err lh_approval_text(const lh_approval_fields *f, lh_buf *out)
{
    LH_AUTO(free_buf) lh_buf text = LH_BUF_INIT(LH_LIMIT_APPROVAL_TEXT);
    char roster[2 * sizeof f->roster + 1];
    const char *verb = lh_verb_name(f->verb);
    if (!verb)
        return LH_REFUSE(LH_E_INVALID, "approval-verb", "the verb is none of approve, deny and withdraw");
    lh_hex(f->roster, sizeof f->roster, roster);
    lh_buf_printf(&text, "leasehold approval v1\nverb: %s\n", verb);
    put_hex(&text, "vault", f->vault, sizeof f->vault);
    lh_buf_printf(&text, "sequence: %" PRIu64 "\n", f->sequence);
    put_hex(&text, "state", f->state, sizeof f->state);
    LH_TRY(put_value(&text, "operation", f->operation));
    put_hex(&text, "proposal", f->proposal, sizeof f->proposal);
    LH_TRY(put_value(&text, "requester", f->requester));
    lh_buf_printf(&text, "officers: sha256:%s threshold %" PRIu32 " of %" PRIu32 "\n", roster, f->threshold,
        f->officers);
    lh_buf_printf(&text, "object-version: %" PRIu64 "\n", f->object_version);
    put_hex(&text, "parameters-sha256", f->parameters_sha256, sizeof f->parameters_sha256);
    put_hex(&text, "nonce", f->nonce, sizeof f->nonce);
    put_time(&text, "not-before", f->not_before);
    put_time(&text, "not-after", f->not_after);
    LH_TRY(put_value(&text, "reason", f->reason));
    LH_TRY(put_parameters(&text, f->parameters));
    return deliver(&text, out);
}

/* Sorted by name, then by key bytes; nothing twice. */
static bool in_order(const lh_genesis_key *a, const lh_genesis_key *b)
{
    int names = strcmp(a->name, b->name);
    if (names != 0)
        return names < 0;
    size_t shorter = a->key.len < b->key.len ? a->key.len : b->key.len;
    int keys = shorter > 0 ? memcmp(a->key.data, b->key.data, shorter) : 0;
    return keys != 0 ? keys < 0 : a->key.len < b->key.len;
}

lh_err lh_genesis_text(const lh_genesis_fields *f, lh_buf *out)
{
    LH_AUTO(free_buf) lh_buf text = LH_BUF_INIT(LH_LIMIT_APPROVAL_TEXT);
    char srk[2 * sizeof f->tpm_srk + 1];
    lh_hex(f->tpm_srk, sizeof f->tpm_srk, srk);
    lh_buf_printf(
        &text, "leasehold genesis v1\nenvironment: %s\n", f->development ? "development" : "production");
    put_time(&text, "created", f->created);
    put_hex(&text, "nonce", f->nonce, sizeof f->nonce);
    lh_buf_printf(&text, "threshold: %" PRIu32 "\ntpm-srk: sha256:%s\nsoftware-tpm: %s\n", f->threshold, srk,
        f->software_tpm ? "yes" : "no");
    LH_TRY(put_value(&text, "seal-pcrs", f->seal_pcrs));
    for (size_t i = 0; i < f->n_keys; i++) {
        const lh_genesis_key *key = &f->keys[i];
        if (i > 0 && !in_order(key - 1, key))
            return LH_REFUSE(
                LH_E_INVALID, "genesis-order", "officers' keys are not sorted, or one stands twice");
        for (const char *c = key->name; *c; c++)
            if (*c <= ' ' || *c > '~' || *c == '\\')
                return LH_REFUSE(LH_E_INVALID, "text-control-character", "an officer's name is not a word");
        lh_buf_printf(&text, "officer: %s ", key->name);
        LH_TRY(lh_pubkey_format(key->key, &text));
        lh_buf_append(&text, "\n", 1);
    }
    return deliver(&text, out);
}
