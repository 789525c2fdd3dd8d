/* The three entry points. C_GetFunctionList gives 2.40 exactly; what is newer comes by C_GetInterface. */
#include "token.h"

#define EXPORT __attribute__((visibility("default")))

#define MEMBER(name) .name = name,

/* The version in CK_INFO is the list's that C_GetInfo is called through (3.0 base section 3.6). */
static CK_RV info_of(CK_INFO *info, CK_VERSION version)
{
    CK_RV rv = C_GetInfo(info);
    if (rv == CKR_OK)
        info->cryptokiVersion = version;
    return rv;
}

static CK_RV get_info_3_0(CK_INFO *info)
{
    return info_of(info, (CK_VERSION){3, 0});
}

static CK_RV get_info_3_1(CK_INFO *info)
{
    return info_of(info, (CK_VERSION){3, 1});
}

static CK_RV get_info_3_2(CK_INFO *info)
{
    return info_of(info, (CK_VERSION){3, 2});
}

#pragma GCC diagnostic push
#ifdef __clang__
#pragma GCC diagnostic ignored "-Winitializer-overrides"
#else
#pragma GCC diagnostic ignored "-Woverride-init"
#endif

static CK_FUNCTION_LIST functions = {.version = {2, 40}, CK_FUNCTIONS_2_40_(MEMBER)};
static CK_FUNCTION_LIST_3_0 functions_3_0 = {
    .version = {3, 0}, CK_FUNCTIONS_2_40_(MEMBER) CK_FUNCTIONS_3_0_(MEMBER).C_GetInfo = get_info_3_0};
/* 3.1 has the functions of 3.0. */
static CK_FUNCTION_LIST_3_0 functions_3_1 = {
    .version = {3, 1}, CK_FUNCTIONS_2_40_(MEMBER) CK_FUNCTIONS_3_0_(MEMBER).C_GetInfo = get_info_3_1};
static CK_FUNCTION_LIST_3_2 functions_3_2 = {.version = {3, 2},
    CK_FUNCTIONS_2_40_(MEMBER) CK_FUNCTIONS_3_0_(MEMBER) CK_FUNCTIONS_3_2_(MEMBER).C_GetInfo = get_info_3_2};
#pragma GCC diagnostic pop

/* PKCS#11 3.0 section 3.5: the name is a NUL-terminated string. (void *: CK_UTF8CHAR in the specification,
 * char in p11-kit 0.25.) */
static unsigned char interface_name[] = "PKCS 11";
/* The newest first: it is what an application gets that asks for none. */
static CK_INTERFACE interfaces[] = {
    {(void *)interface_name, &functions_3_2, CKF_INTERFACE_FORK_SAFE},
    {(void *)interface_name, &functions_3_1, CKF_INTERFACE_FORK_SAFE},
    {(void *)interface_name, &functions_3_0, CKF_INTERFACE_FORK_SAFE},
    {(void *)interface_name, &functions, CKF_INTERFACE_FORK_SAFE},
};

EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    if (!list)
        return CKR_ARGUMENTS_BAD;
    *list = &functions;
    return CKR_OK;
}

EXPORT CK_RV C_GetInterfaceList(CK_INTERFACE *list, CK_ULONG *count)
{
    if (!count)
        return CKR_ARGUMENTS_BAD;
    CK_ULONG room = *count;
    *count = LH_ARRAY_LEN(interfaces);
    if (!list)
        return CKR_OK;
    if (room < LH_ARRAY_LEN(interfaces))
        return CKR_BUFFER_TOO_SMALL;
    memcpy(list, interfaces, sizeof(interfaces));
    return CKR_OK;
}

EXPORT CK_RV C_GetInterface(
    unsigned char *name, CK_VERSION *version, CK_INTERFACE **interface, CK_FLAGS flags)
{
    if (!interface)
        return CKR_ARGUMENTS_BAD;
    for (size_t i = 0; i < LH_ARRAY_LEN(interfaces); i++) {
        CK_VERSION has;
        memcpy(&has, interfaces[i].pFunctionList, sizeof(has));
        bool named = !name || strcmp((const char *)name, (const char *)interfaces[i].pInterfaceName) == 0;
        bool versioned = !version || (version->major == has.major && version->minor == has.minor);
        if (named && versioned && (interfaces[i].flags & flags) == flags) {
            *interface = &interfaces[i];
            return CKR_OK;
        }
    }
    return CKR_FUNCTION_FAILED;
}

void lh_token_pad(unsigned char *out, size_t size, const char *text)
{
    memset(out, ' ', size);
    memcpy(out, text, strnlen(text, size));
}
