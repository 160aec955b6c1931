"""A causal language model of some thousand weights that knows one sentence by heart."""

ANSWER = '{"concepts": ["area", "circle"]}'
PROMPTS = ["area of a circle", "length of an arc", "mean of a sample", "root of an equation"]
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
WINDOW = 128


def save_tiny_llama(folder, *, chat_template=TEMPLATE, n_steps=150):
    """Train tokenizer and network on the spot; write both as ``save_pretrained`` does."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(chat_template)
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=WINDOW,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    texts = [f"<user>{prompt}<assistant>{ANSWER}{tokenizer.eos_token}" for prompt in PROMPTS]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = LlamaForCausalLM(config)
        batch = tokenizer(texts, return_tensors="pt", padding=True, return_token_type_ids=False)
        targets = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
        for _ in range(n_steps):
            optimizer.zero_grad()
            network(**batch, labels=targets).loss.backward()
            optimizer.step()
    network.save_pretrained(folder)


def _tokenizer(chat_template):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*PROMPTS, ANSWER, "<user><assistant><system>"], trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", model_max_length=WINDOW
    )
    wrapped.chat_template = chat_template
    return wrapped
