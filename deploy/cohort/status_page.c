#include "deploy/cohort/status_page.h"

#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/crypto/sha256.h"

/* Made of status_page.html by embed.cmake. */
extern uint8_t const coh_status_page_html[];
extern size_t const coh_status_page_html_sz;

#define BASE64_SZ 45 /* of 32 bytes, with its NUL */

static void base64(char out[BASE64_SZ], coh_hash_t const *hash)
{
    static char const digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t in[33]             = {0};
    memcpy(in, hash->b, 32);
    for (size_t i = 0; i < 11; i++) {
        uint32_t v = (uint32_t)in[3 * i] << 16 | (uint32_t)in[3 * i + 1] << 8 | in[3 * i + 2];
        for (unsigned k = 0; k < 4; k++) {
            out[4 * i + k] = digits[v >> (18 - 6 * k) & 63];
        }
    }
    out[43] = '='; /* the 33rd byte is none */
    out[44] = '\0';
}

/* The hash of what stands between the only begin and the end after it, as a policy names it (Content Security Policy 3, 2.3.1). */
static void hash_between(char out[BASE64_SZ], coh_bytes_t page, char const *begin, char const *end)
{
    char const *from = memmem(page.p, page.n, begin, strlen(begin));
    COH_ASSERT(from != NULL);
    from += strlen(begin);
    size_t left    = page.n - (size_t)(from - (char const *)page.p);
    char const *to = memmem(from, left, end, strlen(end));
    COH_ASSERT(to != NULL && memmem(from, left, begin, strlen(begin)) == NULL);
    coh_hash_t hash;
    coh_sha256(&hash, from, (size_t)(to - from));
    base64(out, &hash);
}

void coh_status_page_init(coh_status_page_t *page)
{
    coh_bytes_t html = coh_bytes(coh_status_page_html, coh_status_page_html_sz);
    char script[BASE64_SZ];
    char style[BASE64_SZ];
    char whole[BASE64_SZ];
    hash_between(script, html, "<script>", "</script>");
    hash_between(style, html, "<style>", "</style>");
    coh_hash_t hash;
    coh_sha256(&hash, html.p, html.n);
    base64(whole, &hash);
    int n =
        snprintf(page->policy,
                 sizeof(page->policy),
                 "default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; "
                 "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                 "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
                 script,
                 style);
    COH_ASSERT(n > 0 && (size_t)n < sizeof(page->policy));
    (void)snprintf(page->etag, sizeof(page->etag), "\"%s\"", whole);
    page->file = (coh_httpd_file_t){.body         = html,
                                    .content_type = "text/html; charset=utf-8",
                                    .policy       = page->policy,
                                    .etag         = page->etag};
}
