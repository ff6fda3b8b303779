/* report_text.h: pieces of what commands print: members of JSON objects, words for a shell. */
#ifndef COH_REPORT_TEXT_H
#define COH_REPORT_TEXT_H

#include "common/base/buf.h"

/* n characters as a JSON string. */
void coh_report_json_text(coh_buf_t *out, char const *p, size_t n);
/* Members with a comma behind them: a string, a hash. */
void coh_report_json_member(coh_buf_t *out, char const *key, char const *text);
void coh_report_json_hash(coh_buf_t *out, char const *key, coh_hash_t const *hash);
/* For a shell, in single quotes. */
void coh_report_quoted(coh_buf_t *out, char const *text);
/* Lines, each of which ends in a newline, indented. */
void coh_report_lines(coh_buf_t *out, coh_bytes_t lines);

#endif
