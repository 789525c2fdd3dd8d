/* Configuration records (the genesis is encoded in genesis.c): an executed proposal with its votes, and what
 * it came to. */
#ifndef LH_QUORUM_CONFIG_H
#define LH_QUORUM_CONFIG_H

#include "quorum/proposal.h"

#define LH_CONFIG_FORMAT 1
#define LH_CONFIG_FORMAT_NUMBERED 2 /* the same with the number of a partition at its end */
enum lh_config_type { LH_CONFIG_GENESIS = 0, LH_CONFIG_OPERATION = 1 }; /* stands in records */

typedef struct {
    uint8_t previous[32]; /* hash of the state it builds on */
    uint64_t sequence;
    int64_t at;
    lh_proposal *proposal;
    lh_outcome outcome;
} lh_config_record;

void lh_config_record_clear(lh_config_record *config);
LH_MUST lh_err lh_config_record_encode(const lh_config_record *config, lh_buf *out);
/* Any bytes are safe to pass. LH_E_CORRUPT. Verifies nothing. */
LH_MUST lh_err lh_config_record_decode(lh_bytes encoding, lh_config_record *ret);

#endif
