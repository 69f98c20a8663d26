from sgan_lab.jobs.terminal import print_result

REST = {"test_images": 1000, "num_labeled": 50, "iterations": 8, "seconds": 2.0}
REST |= {"iterations_per_second": 4.0}


def test_the_result_shows_each_metric_in_its_unit(tmp_path, capsys):
    metrics = {"test_accuracy": 0.912, "test_errors": 88, "test_loss": 0.25, **REST}
    metrics["test_class_accuracy"] = {"[red]\x1b[31m": 0.5, "none": None, "b": 1.0}
    print_result(metrics, tmp_path)
    rows = [
        [cell.strip() for cell in line.split("│")] for line in capsys.readouterr().out.split("\n")
    ]
    shown = {row[1]: row[2] for row in rows if len(row) == 4}
    assert shown["test accuracy"] == "91.20%"
    assert shown["test errors"] == "88"
    assert shown["test loss"] == "0.2500 nats"
    assert (
        shown["test class accuracy"] == "50.00% ([red]\N{REPLACEMENT CHARACTER}[31m) to 100.00% (b)"
    )
    assert shown["test images"] == "1,000"
    assert "test macro f1" not in shown
