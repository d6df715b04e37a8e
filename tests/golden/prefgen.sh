#!/bin/sh
# SPDX-License-Identifier: MIT
#
# prefgen with the tiny Llama of tests/golden: the greedy text is that of
# transformers' generate; records, threads, damaged input.
. tests/lib.sh

m=$T/model
mkdir "$m"
cp tests/golden/models/llama/config.json \
    tests/golden/models/llama/model.safetensors \
    samples/tiny-hh/tokenizer.json samples/tiny-hh/tokenizer_config.json "$m"
gen() {
    prefgen -m "$m" --max_new_tokens 24 "$@"
}

# --- greedy, as transformers 5 (do_sample=False, f64)
egg=$(printf '\n\nHuman: How do I boil an egg?\n\nAssistant:')
want=':::::::::: de de de de de de de de de de de de de de'
for b in ref cpu; do
    same "greedy on $b" \
        "$(gen --backend $b --temperature 0 --prompt "$egg")" "$want"
done
same 'stop' "$(gen --temperature 0 --prompt "$egg" --stop ' de de')" '::::::::::'

# --- records and plain lines; threads; seeds
printf '%s\n' '{"prompt":"Hi","_src":"0:12:0"}' 'plain text' >"$T/in"
gen -n 2 -j1 <"$T/in" >"$T/want"
same 'lines' 2 "$(wc -l <"$T/want")"
same 'K-wise record' 1 "$(grep -c '^{"_src":"0:12:0","prompt":"Hi","completions":\["' "$T/want")"
same 'plain line' 1 "$(grep -c '^{"prompt":"plain text","completions":\["' "$T/want")"
gen -n 2 -j2 <"$T/in" >"$T/got"
same_file '-j2' "$T/got" "$T/want"
gen -n 2 --seed 7 <"$T/in" >"$T/got"
if cmp -s "$T/got" "$T/want"; then fail 'another seed, the same text'; else pass; fi
gen -n 2 -o "$T/file" <"$T/in"
same_file '-o' "$T/file" "$T/want"
same '--limit' 1 "$(gen --limit 1 <"$T/in" | wc -l)"

# --- what is refused
printf '{"prompt":"Hi","_src":"0:12:0"}' | gen >"$T/got" 2>"$T/err"
same 'a producer that died' 4 $?
status 6 'no model' prefgen -m "$T/nowhere" --prompt x
says 'no model' "$T/nowhere"
status 2 'no -m' prefgen --prompt x
status 2 'temperature' prefgen -m "$m" --prompt x --temperature=-1
status 2 'unbuilt' prefgen -m "$m" --prompt x --condition good
printf '%s\n' '{"prompt":' >"$T/in"
gen <"$T/in" >"$T/got" 2>"$T/err"
same 'damaged JSON' 1 $?
sed -i 's/LlamaForCausalLM/MambaForCausalLM/' "$m/config.json"
status 2 'architecture' prefgen -m "$m" --prompt x
says 'architecture' 'MambaForCausalLM'
