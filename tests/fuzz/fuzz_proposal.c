/* Records of proposals, configuration and genesis: what is accepted has one encoding. */
#include "quorum/config.h"
#include "quorum/genesis.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static lh_crypto *crypto;

static void free_crypto(void)
{
    lh_crypto_free(crypto);
}

static void expect_same(lh_err err, lh_buf *again, const uint8_t *data, size_t size)
{
    if (!lh_ok(err) || again->len != size || memcmp(again->data, data, size) != 0)
        abort();
    lh_buf_clear(again);
}

static void read_proposal(const uint8_t *data, size_t size, lh_buf *again)
{
    lh_proposal *proposal = NULL;
    const uint8_t vault[32] = {0};
    if (!lh_ok(lh_proposal_decode(LH_BYTES(data, size), &proposal)))
        return;
    expect_same(lh_proposal_encode(proposal, again), again, data, size);
    LH_IGNORE(lh_proposal_text(proposal, crypto, vault, LH_VERB_APPROVE, again)); /* may be refused */
    lh_params params;
    lh_buf_clear(again);
    if (lh_ok(lh_params_parse(crypto, proposal->operation, lh_buf_bytes(&proposal->parameters), &params)))
        lh_params_clear(&params);
    lh_proposal_free(proposal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lh_buf again = LH_BUF_INIT(2 * LH_LIMIT_RECORD);
    lh_config_record config;
    lh_genesis *genesis = NULL;
    /* Freed at exit, before OpenSSL's own clean-up, which would leave its random generators behind. */
    if (!crypto && (!lh_ok(lh_crypto_new(&crypto)) || atexit(free_crypto) != 0))
        abort();
    read_proposal(data, size, &again);
    if (lh_ok(lh_config_record_decode(LH_BYTES(data, size), &config))) {
        expect_same(lh_config_record_encode(&config, &again), &again, data, size);
        lh_config_record_clear(&config);
    }
    if (lh_ok(lh_genesis_decode(crypto, LH_BYTES(data, size), &genesis))) {
        expect_same(lh_genesis_encode(genesis, &again), &again, data, size);
        lh_genesis_free(genesis);
    }
    lh_buf_free(&again);
    return 0;
}
