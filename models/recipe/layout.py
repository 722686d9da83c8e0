"""The shape of the demo model and the files of its folder besides the weights.
Never trains; it writes exactly the files that a model hub folder has.
Called by `train`.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig

from corpus import conversations

PAD, BOS, END, START = "<|pad|>", "<|bos|>", "<|im_end|>", "<|im_start|>"
SPECIALS = [PAD, BOS, END, START]
PAD_ID, BOS_ID, END_ID, START_ID = range(4)
VOCAB = 2048
# Conversations from which the tokenizer is learned; more change few merges.
TOKENIZER_CONVERSATIONS = 40_000
# Twice the length of a training row, so that a chat can grow.
CONTEXT_TOKENS = 1024

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' or message['role'] == 'user' or message['role'] == 'assistant' %}"
    "{{ '<|im_start|>' }}{{ message['role'] }}{{ '\\n' }}{{ message['content'] }}{{ '<|im_end|>' }}{{ '\\n' }}"
    "{% else %}{{ raise_exception('The roles are system, user and assistant.') }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant' }}{{ '\\n' }}{% endif %}"
)

SHAPE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCAB,
    "hidden_size": 192,
    "intermediate_size": 448,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "hidden_act": "silu",
    "max_position_embeddings": CONTEXT_TOKENS,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "mlp_bias": False,
    "initializer_range": 0.02,
    "tie_word_embeddings": True,
    "use_cache": True,
    "pretraining_tp": 1,
    "bos_token_id": BOS_ID,
    "eos_token_id": END_ID,
    "pad_token_id": PAD_ID,
    "torch_dtype": "float16",
}


def config() -> LlamaConfig:
    """The configuration as transformers reads it."""
    return LlamaConfig(
        **{name: value for name, value in SHAPE.items() if name not in ("architectures", "model_type", "torch_dtype")}
    )


def learn_tokenizer(seed: int) -> Tokenizer:
    """A byte-level BPE with single digits, learned from the corpus."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    source = conversations(seed + 1_000_003)
    texts = (message["content"] for _ in range(TOKENIZER_CONVERSATIONS) for message in next(source))
    # The role names stand in every chat, so each of them is to become one token.
    roles = ["system\nuser\nassistant\n"] * TOKENIZER_CONVERSATIONS
    tokenizer.train_from_iterator((*texts, *roles), trainer)
    return tokenizer


def write_json(path: Path, value: object) -> None:
    """A JSON file with a line end."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_folder(out: Path, tokenizer: Tokenizer) -> None:
    """Every file of the folder but the weights and the README."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    write_json(out / "config.json", SHAPE)
    write_json(
        out / "generation_config.json",
        {
            "bos_token_id": BOS_ID,
            "eos_token_id": END_ID,
            "pad_token_id": PAD_ID,
            "do_sample": True,
            "temperature": 0.7,
            "top_p": 0.95,
            "max_new_tokens": 256,
        },
    )
    added = {
        str(i): {
            "content": text,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for i, text in enumerate(SPECIALS)
    }
    write_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "add_bos_token": False,
            "add_eos_token": False,
            "added_tokens_decoder": added,
            "additional_special_tokens": [START],
            "bos_token": BOS,
            "eos_token": END,
            "pad_token": PAD,
            "unk_token": None,
            "clean_up_tokenization_spaces": False,
            "model_max_length": CONTEXT_TOKENS,
            "padding_side": "right",
            "chat_template": CHAT_TEMPLATE,
        },
    )
    write_json(
        out / "special_tokens_map.json",
        {"additional_special_tokens": [START], "bos_token": BOS, "eos_token": END, "pad_token": PAD},
    )
