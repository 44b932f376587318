"""Correlated equilibria of tables and trees, their deviations, and regret dynamics."""
