#include "identity/attest_wire.h"

#include "codec/bin.h"
#include "identity/facts.h"

static bool kind_known(uint8_t kind)
{
    return kind == LH_ATTEST_READ || kind == LH_ATTEST_ADOPT;
}

void lh_attest_request_encode(const lh_attest_request *request, lh_buf *out)
{
    lh_put_u8(out, (uint8_t)request->kind);
    lh_put_u64(out, request->id);
    lh_put_u32(out, (uint32_t)request->pid);
    lh_put_u64(out, request->start_time);
}

lh_err lh_attest_request_decode(lh_bytes bytes, lh_attest_request *ret)
{
    lh_reader r = lh_reader_new(bytes);
    uint8_t kind = lh_read_u8(&r);
    lh_attest_request request = {.id = lh_read_u64(&r)};
    request.pid = (pid_t)lh_read_u32(&r);
    request.start_time = lh_read_u64(&r);
    r.bad = r.bad || !kind_known(kind) || request.pid <= 0;
    LH_TRY(lh_read_done(&r, "a request to the attest process"));
    request.kind = (enum lh_attest_kind)kind;
    *ret = request;
    return LH_SUCCESS;
}

void lh_attest_reply_encode(const lh_attest_reply *reply, lh_buf *out)
{
    lh_put_u8(out, (uint8_t)reply->kind);
    lh_put_u64(out, reply->id);
    lh_put_u32(out, (uint32_t)reply->code);
    if (reply->code != LH_OK) {
        lh_put_str(out, reply->reason);
        lh_put_str(out, reply->message);
    } else if (reply->kind == LH_ATTEST_READ) {
        LH_AUTO(lh_buf_free) lh_buf facts = LH_BUF_INIT(LH_FACTS_MAX);
        lh_facts_encode(&reply->identity, &facts);
        if (facts.status != LH_OK)
            out->status = facts.status;
        lh_put_blob(out, lh_buf_bytes(&facts));
    }
}

lh_err lh_attest_reply_decode(lh_bytes bytes, lh_attest_reply *ret)
{
    lh_reader r = lh_reader_new(bytes);
    uint8_t kind = lh_read_u8(&r);
    lh_attest_reply reply = {.id = lh_read_u64(&r)};
    uint32_t code = lh_read_u32(&r);
    r.bad = r.bad || !kind_known(kind) || code >= LH_CODE_COUNT;
    lh_bytes facts = LH_BYTES_NONE;
    if (!r.bad && code != LH_OK) {
        lh_read_str(&r, reply.reason, sizeof(reply.reason));
        lh_read_str(&r, reply.message, sizeof(reply.message));
    } else if (!r.bad && kind == LH_ATTEST_READ) {
        facts = lh_read_blob(&r, LH_FACTS_MAX);
    }
    LH_TRY(lh_read_done(&r, "an answer of the attest process"));
    reply.kind = (enum lh_attest_kind)kind;
    reply.code = (enum lh_code)code;
    if (code == LH_OK && kind == LH_ATTEST_READ)
        LH_TRY(lh_facts_decode(facts, &reply.identity));
    *ret = reply;
    return LH_SUCCESS;
}
