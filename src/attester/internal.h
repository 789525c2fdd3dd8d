/* Shared between the attester's files. */
#ifndef LH_ATTESTER_INTERNAL_H
#define LH_ATTESTER_INTERNAL_H

#include "attester/attester.h"

#include <pthread.h>

typedef struct request {
    struct request *next;
    uint32_t mask;
    lh_evidence_leaf leaf;
    lh_attester_done done;
    void *arg;
} request;

struct lh_attester {
    lh_attester_options options;
    pthread_mutex_t lock;
    pthread_cond_t work;
    request *first, **last; /* guarded by lock, as are those below */
    size_t waiting;
    bool stopping;
    lh_attester_counts counts;
    pthread_t thread;
    bool started;
};

/* What one quote gives to all of its leaves. */
typedef struct {
    lh_evidence common; /* without leaf and proof */
    lh_merkle_tree *tree;
} lh_batch;

void lh_batch_clear(lh_batch *batch);
/* The tree over the requests' leaves, and a quote over it whose PCR values are known. */
LH_MUST lh_err lh_batch_quote(lh_attester *attester, const request *first, lh_batch *ret);
/* One leaf's evidence, into what lh_batch_quote gave: valid until the next call. */
LH_MUST lh_err lh_batch_leaf(lh_batch *batch, const request *r, uint32_t index);

#endif
