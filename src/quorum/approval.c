#include "quorum/approval.h"

#include "codec/sshsig.h"
#include "crypto/hash.h"
#include "crypto/ssh.h"

static void free_buf(lh_buf *buf)
{
    lh_buf_free(buf);
}

/* What the officer's key signed, for a signature of that hash over text. */
static lh_err signed_data(lh_crypto *c, const lh_sshsig *sig, lh_bytes text, lh_buf *out)
{
    uint8_t hash[LH_SHA512_SIZE];
    bool sha256 = sig->hash == LH_SSHSIG_SHA256;
    LH_TRY(sha256 ? lh_sha256(c, &text, 1, hash) : lh_sha512(c, &text, 1, hash));
    return lh_sshsig_signed_data(
        LH_SSHSIG_NAMESPACE, sig->hash, LH_BYTES(hash, sha256 ? LH_SHA256_SIZE : LH_SHA512_SIZE), out);
}

static bool is_refusal(lh_err err)
{
    return err.code == LH_E_INVALID || err.code == LH_E_LIMIT || err.code == LH_E_UNSUPPORTED;
}

static lh_err parse(lh_bytes armor, lh_buf *raw, lh_sshsig *sig)
{
    lh_err err = lh_sshsig_parse(armor, raw, sig);
    if (is_refusal(err)) {
        lh_err_detail why = *lh_err_last();
        return LH_REFUSE(LH_E_INVALID, "approval-malformed",
            "the signature is not what ssh-keygen -Y sign writes: %s", why.message);
    }
    return err;
}

lh_err lh_approval_verify(
    lh_crypto *c, const lh_roster *roster, lh_bytes armor, lh_bytes text, const lh_officer **ret_officer)
{
    LH_AUTO(free_buf) lh_buf raw = LH_BUF_INIT(LH_LIMIT_SIGNATURE);
    LH_AUTO(free_buf) lh_buf data = LH_BUF_INIT(LH_LIMIT_SIGNATURE);
    LH_AUTO(lh_ssh_key_freep) lh_ssh_key *key = NULL;
    lh_sshsig sig;
    LH_TRY(parse(armor, &raw, &sig));
    if (strcmp(sig.namespace, LH_SSHSIG_NAMESPACE) != 0)
        return LH_REFUSE(LH_E_SIGNATURE, "approval-namespace",
            "the signature was made for another purpose: sign with ssh-keygen -Y sign "
            "-n " LH_SSHSIG_NAMESPACE);
    const lh_officer *officer = lh_roster_find_key(roster, sig.public_key);
    if (!officer)
        return LH_REFUSE(LH_E_SIGNATURE, "approval-unknown-key",
            "the signature is by a key that no officer of this vault has");
    LH_TRY(lh_ssh_key_parse(c, sig.public_key, &key));
    LH_TRY(signed_data(c, &sig, text, &data));
    lh_err err = lh_ssh_verify(c, key, sig.signature, lh_buf_bytes(&data));
    if (err.code == LH_E_SIGNATURE)
        return LH_REFUSE(LH_E_SIGNATURE, "approval-wrong-text",
            "the signature by %s's key is not over this text: it was made for another proposal, another "
            "vault, "
            "another verb or other parameters; sign the text that `leasehold show` gives",
            officer->name);
    LH_TRY(err);
    *ret_officer = officer;
    return LH_SUCCESS;
}
