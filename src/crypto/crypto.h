/* The crypto library's context: one private OSSL_LIB_CTX with the default provider only, and the algorithms
 * fetched once from it. No configuration file is read and nothing of the process's own OpenSSL is touched.
 * Threads: created and freed by one thread; every other call of this folder may share it freely between. */
#ifndef LH_CRYPTO_CRYPTO_H
#define LH_CRYPTO_CRYPTO_H

#include "base/bytes.h"

typedef struct lh_crypto lh_crypto;

/* LH_E_CRYPTO where OpenSSL lacks an algorithm that we need. */
LH_MUST lh_err lh_crypto_new(lh_crypto **ret);
/* Takes NULL. Everything made with it is freed first. */
void lh_crypto_free(lh_crypto *c);
LH_DEFINE_FREEP(lh_crypto, lh_crypto_free)

/* What holds keys that it can make again: let go of some. False: there are none left. Called by any thread
 * that makes a key of its own, one at a time. */
typedef bool (*lh_crypto_spare_fn)(void *arg);
/* Who is asked where locked memory for private keys runs short: the last one that was set. NULL: the one of
 * arg is asked no more, and no call of it is under way. */
void lh_crypto_set_spare(lh_crypto *c, lh_crypto_spare_fn spare, void *arg);

/* OpenSSL's context (OSSL_LIB_CTX), for src/channel, which has TLS work in it. Borrowed. */
struct ossl_lib_ctx_st *lh_crypto_library(lh_crypto *c);

/* "OpenSSL 3.0.19 27 Jan 2026": the library in use, as status shows it. A static string. */
const char *lh_crypto_version(void);

#endif
