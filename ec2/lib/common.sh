# shellcheck shell=bash
# Messages. Scripts that end on purpose do so through `fail`, so that their EXIT path can say why.

# What names hold is not for the locale of the machine to say: texts are UTF-8 for all that is called.
export LC_ALL=C.UTF-8

# What a log line and a command line take of one message.
readonly MESSAGE_LENGTH=4000

# Bytes of ASCII and characters of UTF-8 that can be printed: no control character, none that turns the
# direction of writing, no surrogate.
readonly PRINTABLE=$'^([ -~]|\xc2[\xa0-\xbf]|[\xc3-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|\xe2(\x80[\x80-\x8a\x90-\xa7\xaf-\xbf]|\x81[\x80-\x9f\xb0-\xbf]|[\x82-\xbf][\x80-\xbf])|[\xe1\xe3-\xec\xee\xef][\x80-\xbf][\x80-\xbf]|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf][\x80-\xbf]|[\xf1-\xf3][\x80-\xbf][\x80-\xbf][\x80-\xbf]|\xf4[\x80-\x8f][\x80-\xbf][\x80-\xbf])+'

# printable TEXT: the text on one line, on which no terminal acts; what cannot be printed is escaped.
printable() {
  local LC_ALL=C text=${1:0:MESSAGE_LENGTH} shown='' byte
  while [[ -n $text ]]; do
    if [[ $text =~ $PRINTABLE ]]; then
      shown+=${BASH_REMATCH[0]}
      text=${text:${#BASH_REMATCH[0]}}
    else
      printf -v byte '\\x%02x' "'${text:0:1}"
      shown+=${byte: -4}
      text=${text:1}
    fi
  done
  printf '%s' "$shown"
}

# last_line TEXT: of what a command said, that which says why. Of a long text only the end is looked at:
# Bash would take a minute to find the last line in 300 kB.
last_line() {
  local LC_ALL=C text=$1
  ((${#text} <= MESSAGE_LENGTH)) || text=${text: -MESSAGE_LENGTH}
  printf '%s' "${text##*$'\n'}"
}

# A disk that is too full for a message ends nothing.
log() {
  TZ=UTC printf '%(%FT%TZ)T  %s\n' -1 "$(printable "$*")" >&2 || true
}

# fail CAUSE DETAIL: ends the script. The cause is a word for programs; the detail goes on from what they
# say of it.
fail() {
  # shellcheck disable=SC2034 # read by the EXIT path of the calling script
  CAUSE=$1 FAILURE=${2:0:MESSAGE_LENGTH}
  log "failed: $1: $2"
  exit 1
}
