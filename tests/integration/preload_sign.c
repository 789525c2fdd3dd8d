/* Preloaded into a program that knows nothing of keys: signs through the module with the role that
 * PRELOAD_ROLE names, before the program begins, and says what came of it. Code of somebody else within an
 * approved program. */
#include "pkcs11_client.h"

__attribute__((constructor)) static void sign_before_main(void)
{
    const char *role = getenv("PRELOAD_ROLE");
    if (!role)
        return;
    client c = {0};
    client_load(&c, getenv("LEASEHOLD_MODULE"));
    CK_OBJECT_HANDLE key = 0;
    CK_RV rv = client_find(&c, role, CKO_PRIVATE_KEY, &key);
    unsigned char signature[256];
    CK_ULONG len = sizeof signature;
    if (rv == CKR_OK && key == 0)
        (void)printf("preloaded: none\n");
    else
        (void)printf("preloaded: %s\n",
            client_name(rv == CKR_OK ? client_sign(&c, key, CKM_ECDSA, signature, &len) : rv));
    (void)fflush(stdout);
}
