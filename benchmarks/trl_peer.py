"""TRL's SFTTrainer with PEFT on given token rows, timed from the first step to the last: started by
benchmarks/training_peers.py.

Runs in an environment of its own (`make trl`) and knows nothing of deputize: `python benchmarks/trl_peer.py
JOB.json`; what it measured is written to the path that the job names.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from pathlib import Path
from typing import Any


def main(job_path: str) -> None:
    job: dict[str, Any] = json.loads(Path(job_path).read_text("utf-8"))
    warnings.simplefilter("ignore")
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.bfloat16)
    config = SFTConfig(
        output_dir=job["out"],
        use_cpu=True,
        bf16=True,
        max_length=None,
        per_device_train_batch_size=job["batch"],
        gradient_checkpointing=job["checkpointing"],
        learning_rate=job["lr"],
        lr_scheduler_type="cosine",
        warmup_steps=max(1, job["steps"] * 6 // 100),
        weight_decay=0.0,
        max_steps=job["steps"],
        completion_only_loss=True,
        logging_steps=10_000,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_num_workers=0,
        seed=job["seed"],
    )
    lora = LoraConfig(task_type="CAUSAL_LM", **job["lora"])

    class Watch(TrainerCallback):  # type: ignore[misc]
        """Clocks from the end of the first step, which warms up, to the end of the last."""

        began = (0.0, 0.0)
        ended = (0.0, 0.0)

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            now = (time.perf_counter(), time.process_time())
            if state.global_step == 1:
                self.began = now
            self.ended = now

    watch = Watch()
    rows = [{"input_ids": row["ids"], "completion_mask": row["mask"]} for row in job["rows"]]
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(job["model"]),
        peft_config=lora,
        callbacks=[watch],
    )
    trainer.train()
    trainer.model.save_pretrained(job["adapter"])
    n_tokens = (
        (job["steps"] - 1) * job["batch"] * sum(len(row["ids"]) for row in job["rows"]) / len(job["rows"])
    )
    found = {
        "tokens": n_tokens,
        "wall_s": watch.ended[0] - watch.began[0],
        "cpu_s": watch.ended[1] - watch.began[1],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    Path(job["found"]).write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
