#include "deploy/cohort/report_text.h"

#include "common/base/hex.h"
#include "common/base/utf8.h"

void coh_report_json_text(coh_buf_t *out, char const *p, size_t n)
{
    coh_buf_put_u8(out, '"');
    uint8_t const *text = (uint8_t const *)p;
    for (size_t i = 0; i < n;) {
        size_t len = coh_utf8_len(text + i, n - i);
        if (len == 0) {
            coh_buf_printf(out, "\\ufffd");
            len = 1;
        } else if (text[i] == '"' || text[i] == '\\' || text[i] < 0x20) {
            coh_buf_printf(out, "\\u%04x", text[i]);
        } else {
            coh_buf_put(out, text + i, len);
        }
        i += len;
    }
    coh_buf_put_u8(out, '"');
}

void coh_report_json_member(coh_buf_t *out, char const *key, char const *text)
{
    coh_buf_printf(out, "\"%s\":", key);
    coh_report_json_text(out, text, strlen(text));
    coh_buf_put_u8(out, ',');
}

void coh_report_json_hash(coh_buf_t *out, char const *key, coh_hash_t const *hash)
{
    char digits[65];
    coh_hex_encode(digits, hash->b, sizeof(hash->b));
    coh_buf_printf(out, "\"%s\":\"0x%s\",", key, digits);
}

void coh_report_quoted(coh_buf_t *out, char const *text)
{
    coh_buf_put_u8(out, '\'');
    for (char const *p = text; *p != '\0'; p++) {
        if (*p == '\'') {
            coh_buf_printf(out, "'\\''");
        } else {
            coh_buf_put_u8(out, (uint8_t)*p);
        }
    }
    coh_buf_put_u8(out, '\'');
}

void coh_report_lines(coh_buf_t *out, coh_bytes_t lines)
{
    size_t at = 0;
    while (at < lines.n) {
        uint8_t const *line = lines.p + at;
        uint8_t const *end  = memchr(line, '\n', lines.n - at);
        size_t n            = (size_t)(end - line);
        coh_buf_printf(out, "  %.*s\n", (int)n, (char const *)line);
        at += n + 1;
    }
}
