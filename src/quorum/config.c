#include "quorum/config.h"

#include "codec/bin.h"
#include "quorum/params.h"

static void free_buf(lh_buf *buf)
{
    lh_buf_free(buf);
}

void lh_config_record_clear(lh_config_record *config)
{
    lh_proposal_free(config->proposal);
    *config = (lh_config_record){0};
}

lh_err lh_config_record_encode(const lh_config_record *config, lh_buf *out)
{
    LH_AUTO(free_buf) lh_buf proposal = LH_BUF_INIT(LH_LIMIT_RECORD);
    LH_TRY(lh_proposal_encode(config->proposal, &proposal));
    lh_put_u8(out, config->outcome.number ? LH_CONFIG_FORMAT_NUMBERED : LH_CONFIG_FORMAT);
    lh_put_u8(out, LH_CONFIG_OPERATION);
    lh_put_raw(out, config->previous, sizeof config->previous);
    lh_put_u64(out, config->sequence);
    lh_put_u64(out, (uint64_t)config->at);
    lh_put_blob(out, lh_buf_bytes(&proposal));
    lh_put_raw(out, config->outcome.made_id, sizeof config->outcome.made_id);
    lh_put_raw(out, config->outcome.parent_commitment, sizeof config->outcome.parent_commitment);
    lh_selector_encode(&config->outcome.selector, out);
    if (config->outcome.number)
        lh_put_u64(out, config->outcome.number);
    return lh_buf_status(out);
}

lh_err lh_config_record_decode(lh_bytes encoding, lh_config_record *ret)
{
    LH_AUTO(lh_config_record_clear) lh_config_record config = {0};
    lh_reader r = lh_reader_new(encoding);
    uint8_t format = lh_read_u8(&r);
    if ((format != LH_CONFIG_FORMAT && format != LH_CONFIG_FORMAT_NUMBERED) ||
        lh_read_u8(&r) != LH_CONFIG_OPERATION)
        r.bad = true;
    lh_read_into(&r, config.previous, sizeof config.previous);
    config.sequence = lh_read_u64(&r);
    config.at = (int64_t)lh_read_u64(&r);
    lh_bytes proposal = lh_read_blob(&r, LH_LIMIT_RECORD);
    lh_read_into(&r, config.outcome.made_id, sizeof config.outcome.made_id);
    lh_read_into(&r, config.outcome.parent_commitment, sizeof config.outcome.parent_commitment);
    lh_selector_decode(&r, &config.outcome.selector);
    if (format == LH_CONFIG_FORMAT_NUMBERED) {
        config.outcome.number = lh_read_u64(&r);
        if (config.outcome.number == 0)
            r.bad = true;
    }
    LH_TRY(lh_read_done(&r, "a configuration record"));
    LH_TRY(lh_proposal_decode(proposal, &config.proposal));
    *ret = config;
    config.proposal = NULL; /* handed on */
    return LH_SUCCESS;
}
